{% macro visible_at(load_seq, relation) -%}
    {#- Without the parentheses and the `is true` a null withdrawn_seq would make the answer null. -#}
    ({{ relation }}.load_seq <= {{ load_seq }} and ({{ relation }}.withdrawn_seq <= {{ load_seq }}) is not true)
{%- endmacro %}
