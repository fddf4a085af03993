{% macro create_csv_table(model, agate_table) %}
    {%- do check_seed(agate_table) -%}
    {{ return(default__create_csv_table(model, agate_table)) }}
{% endmacro %}
