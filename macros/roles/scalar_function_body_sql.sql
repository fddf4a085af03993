{% macro scalar_function_body_sql() %}
    {%- set meta = config.get('meta') or {} -%}
    {%- set requirements = meta.get('requires', {}) -%}
    {%- if requirements %}
    $$
    #variable_conflict use_column
    begin
        {%- for argument, required in requirements.items() %}
        if ({{ required['condition'] }}) is not true then
            raise exception using
                errcode = 'invalid_parameter_value',
                message = format(
                    '{{ this.identifier }}: {{ argument }} is %s, but must be %s',
                    coalesce({{ argument }}::text, 'null'),
                    {{ dbt.string_literal(dbt.escape_single_quotes(required['wanted'])) }}
                );
        end if;
        {%- endfor %}
        return query
        {{ model.compiled_code }};
    end
    $$ language plpgsql
    {%- else %}
    $$
    {{ model.compiled_code }}
    $$ language sql
    {%- endif %}
    {#- As a view it runs with the rights of its owner: its callers need not read what it reads. #}
    {%- if meta.get('is_security_definer') %}
    security definer
    set search_path = pg_catalog, pg_temp;
    revoke execute on function {{ this }} ({{ model.arguments | map(attribute='data_type') | join(', ') }}) from public
    {%- endif %}
{%- endmacro %}
