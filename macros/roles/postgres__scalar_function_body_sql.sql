{% macro postgres__scalar_function_body_sql() %}
    $$
    {{ model.compiled_code }}
    $$ language sql
    {#- As a view it runs with the rights of its owner: its callers need not read what it reads. #}
    {%- if (config.get('meta') or {}).get('is_security_definer') %}
    security definer
    set search_path = pg_catalog, pg_temp;
    revoke execute on function {{ this }} ({{ formatted_scalar_function_args_sql() }}) from public
    {%- endif %}
{%- endmacro %}
