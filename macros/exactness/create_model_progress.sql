{% macro create_model_progress() %}
    {#- dbt writes it between quotation marks as it is. -#}
    {%- if '"' in target.schema -%}
        {%- do exceptions.raise_compiler_error("the schema of the target, " ~ target.schema ~ ", has a quotation mark: choose another DBT_SCHEMA") -%}
    {%- endif -%}
    {%- if execute and flags.WHICH in ['run', 'build', 'seed', 'test', 'run-operation'] -%}
        {{ check_schemas() }};
        create schema if not exists {{ adapter.quote(target.schema) }};
        create table if not exists {{ source('progress', 'model_progress') }} (
            model_name text primary key,
            load_seq bigint,
            definition jsonb,
            updated_at timestamptz
        )
    {%- endif -%}
{% endmacro %}
