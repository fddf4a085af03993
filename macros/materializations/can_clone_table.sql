{% macro can_clone_table() -%}
    {{ return(true) }}
{%- endmacro %}
