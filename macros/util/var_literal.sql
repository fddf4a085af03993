{% macro var_literal(name) -%}
    {{ dbt.string_literal(dbt.escape_single_quotes(var(name) | string)) }}
{%- endmacro %}
