{% macro get_grant_sql(relation, privilege, grantees) %}
    {#- dbt's own macro quotes no names, and takes everything for a table. -#}
    grant {{ privilege }} on
    {%- if relation.is_function %} function {{ relation }} ({{ formatted_scalar_function_args_sql() }})
    {%- else %} {{ relation }}
    {%- endif %} to
    {%- for name in grantees %} {{ adapter.quote(name) }}{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
