{% macro drop_relation(relation) -%}
    {#- With all views on it, which a reader may have open. -#}
    {%- do patiently([relation], get_drop_sql(relation) ~ ';') -%}
{%- endmacro %}
