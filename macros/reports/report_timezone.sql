{% macro report_timezone() -%}
    {{ dbt.string_literal(var('report_timezone')) }}
{%- endmacro %}
