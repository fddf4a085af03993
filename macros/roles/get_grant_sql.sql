{% macro get_grant_sql(relation, privilege, grantees) %}
    {#- dbt's own macro quotes no names, takes everything for a table, and functions with their defaults. -#}
    grant {{ privilege }} on
    {%- if relation.is_function %} function {{ relation }} ({{ model.arguments | map(attribute='data_type') | join(', ') }})
    {%- else %} {{ relation }}
    {%- endif %} to
    {%- for name in grantees %} {{ adapter.quote(name) }}{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
