{% macro report_timezone() -%}
    {{ var_literal('report_timezone') }}
{%- endmacro %}
