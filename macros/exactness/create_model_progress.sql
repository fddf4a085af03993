{% macro create_model_progress() %}
    {%- if execute and flags.WHICH in ['run', 'build', 'seed', 'test', 'run-operation'] -%}
        create schema if not exists {{ adapter.quote(target.schema) }};
        create table if not exists {{ source('progress', 'model_progress') }} (
            model_name text primary key,
            load_seq bigint,
            definition jsonb,
            updated_at timestamptz
        )
    {%- endif -%}
{% endmacro %}
