{% macro scalar_function_body_sql() %}
    {%- set meta = config.get('meta') or {} -%}
    {%- set requirements = meta.get('requires', {}) -%}
    {%- set body -%}
    {#- A function in SQL gives Citus its arguments in a form that it cannot plan with. #}
    {%- if requirements or is_distributed() %}
    $$
    #variable_conflict use_column
    {%- if meta.get('is_as_of') %}
    declare
        first_at timestamptz := since;
        last_at timestamptz := until;
        reach record;
        gone record;
    {%- endif %}
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
        {{ 'return query' if not (meta.get('is_as_of') or meta.get('has_statements')) }}
        {{ model.compiled_code }};
    end
    $$ language plpgsql
    {%- else %}
    $$
    {{ model.compiled_code }}
    $$ language sql
    {%- endif %}
    {#-
        As a view it runs with the rights of its owner: its callers need not read what it reads. To compile these long queries takes
        longer than they do. And a plan for any stretch, or with processes started for each look-up, may take a thousand times as long as one
        for the stretch that is asked for, whatever its callers have set.
    #}
    {%- set rights_and_settings -%}
    security definer
    set search_path = pg_catalog, pg_temp
    set jit = off
    set plan_cache_mode = force_custom_plan
    set max_parallel_workers_per_gather = 0
    {%- endset %}
    {%- if meta.get('is_security_definer') %}
    {{ rights_and_settings }};
    {%- if meta.get('is_as_of') %}
    create or replace function {{ this }} (as_of timestamptz, since timestamptz, until timestamptz)
    returns {{ model.returns.data_type }}
    stable
    as $$
    select *
    from {{ this }}(
        case
            when as_of is not null then coalesce(
                (
                    select max(loads.load_seq)
                    from {{ ref('stg_video_events__loads') }} as loads
                    where loads.published_at <= as_of
                ),
                0
            )
        end,
        since,
        until
    )
    $$ language sql
    {{ rights_and_settings }};
    {%- endif %}
    revoke execute on function {{ _function_signatures() }} from public
    {%- endif %}
    {%- endset -%}
    {{ without_database(body) }}
{% endmacro %}


{#- The functions that a node makes, with their arguments: two where one of them is as_of. -#}
{% macro _function_signatures() -%}
    {#- Without the defaults of arguments, which are no part of a function's name. -#}
    {%- set types = model.arguments | map(attribute='data_type') | list -%}
    {{ this }} ({{ types | join(', ') }})
    {%- if (config.get('meta') or {}).get('is_as_of') -%}
    , {{ this }} ({{ (['timestamptz'] + types[1:]) | join(', ') }})
    {%- endif -%}
{%- endmacro %}


{% macro function_execute_build_sql(build_sql, existing_relation, target_relation) %}
    {#- PostgreSQL replaces no function by one that returns other columns, as a newer version's does. -#}
    {%- set create -%}
    do $create_function$
    begin
        execute $definition${{ build_sql }}$definition$;
    exception when invalid_function_definition then
        drop function if exists {{ _function_signatures() }};
        execute $definition${{ build_sql }}$definition$;
    end
    $create_function$
    {%- endset -%}
    {{ return(dbt.function_execute_build_sql(create, existing_relation, target_relation)) }}
{% endmacro %}
