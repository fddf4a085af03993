{% macro mark_of(relation) -%}
    {{ progress_beside(relation) }} as progress
    where progress.model_name = {{ dbt.string_literal(relation.identifier) }}
{%- endmacro %}


{% macro progress_beside(relation) -%}
    {#- By the schema of the model: with `--defer` or `+schema` that is another one than the target's. -#}
    {%- set inside = relation.schema.removesuffix('_internal') ~ '_internal' -%}
    {{ return(relation.incorporate(path={'schema': inside, 'identifier': 'model_progress'}, type='table')) }}
{%- endmacro %}


{#- Condition: a node of the graph is a stored model of this project, one that has a mark. -#}
{% macro _is_stored(node) -%}
    {{ return(node.package_name == 'video_events' and node.config.get('materialized') == 'exact') }}
{%- endmacro %}


{% macro create_model_progress() %}
    {%- set needed = {} -%}
    {%- for model in (graph.nodes.values() if execute and flags.WHICH in ['run', 'build'] else [])
        if _is_stored(model) and model.unique_id in selected_resources -%}
        {%- set progress = progress_beside(api.Relation.create(database=model.database, schema=model.schema)) -%}
        {%- do needed.update({progress.schema: progress}) -%}
    {%- endfor -%}
    {%- for progress in needed.values() %}
    {{ _create_progress_table(progress) | indent(4) }}
    {{ _grant_progress(progress) | indent(4) }}
    {%- endfor -%}
{% endmacro %}


{#- Statements that create a table `model_progress` and its schema where they are not there. -#}
{% macro _create_progress_table(progress) -%}
    {%- set schema = progress.without_identifier().include(database=false) %}
    do $$
    begin
        {#- It asks for the right to create one, also where it is there. #}
        if to_regnamespace({{ dbt.string_literal(schema | string) }}) is null then
            create schema if not exists {{ schema }};
        end if;
    end
    $$;
    {#- Two that create it at once would fail without this lock. -#}
    select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('video-events model_progress', 0));
    create table if not exists {{ progress }} (
        model_name text primary key,
        load_seq bigint,
        definition jsonb,
        updated_at timestamptz
    );
{%- endmacro %}


{#-
    Statement that lets the owner of schema raw read and lock a `model_progress`; it does nothing without
    roles.
-#}
{% macro _grant_progress(progress) %}
    {#-
        Before it removes the rows of withdrawn loads, the loader looks up what every model has taken
        note of, and keeps it from changing. What cannot be granted here, it asks for itself.
    -#}
    do $$
    declare
        loader name;
        privileges text := case
            when current_setting('server_version_num')::int >= 170000 then 'select, maintain'
            else 'select, update'
        end;
    begin
        select roles.rolname into loader
        from pg_catalog.pg_namespace as namespaces
        inner join pg_catalog.pg_roles as roles on namespaces.nspowner = roles.oid
        where namespaces.nspname = 'raw';
        if loader is not null and not (
            has_schema_privilege(loader, {{ dbt.string_literal(progress.schema) }}, 'usage')
            and has_table_privilege(loader, {{ dbt.string_literal(progress | string) }}, privileges)
        ) then
            execute format('grant usage on schema {{ progress.without_identifier().include(database=false) }} to %I', loader);
            execute format('grant %s on {{ progress }} to %I', privileges, loader);
        end if;
    -- The latter when two runs do it at once.
    exception when insufficient_privilege or internal_error then
        raise notice 'cannot grant the loader what it needs: %', sqlerrm;
    end
    $$;
{% endmacro %}


{#- SQL expression (jsonb) of the definitions that the model's `meta: {defined_by: [...]}` lists. -#}
{% macro _current_definition() -%}
    {%- set parts = (config.get('meta') or {}).get('defined_by', []) -%}
    jsonb_build_object(
        {%- if 'activity_gap' in parts %}
        {#- As it is written: a day and 24 hours are one gap, but tables that exist have it so. #}
        'activity_gap', jsonb_build_object('gap', (interval {{ var_literal('activity_gap') }})::text),
        'category_gaps', (
            select coalesce(jsonb_object_agg(categories.category, categories.activity_gap::text), '{}')
            from {{ ref('categories') }} as categories
            where categories.activity_gap <> interval {{ var_literal('activity_gap') }}
        ),
        {%- endif %}
        {%- if 'report_timezone' in parts %}
        'report_timezone', jsonb_build_object('zone', {{ report_timezone() }}),
        {%- endif %}
        {%- if 'alert_rules' in parts %}
        'alert_rules', (
            select coalesce(
                jsonb_object_agg(rules.rule_name, concat_ws(
                    ' ', rules.kind, rules.category, rules.threshold, rules.min_duration,
                    case when rules.kind = 'unusual' then {{ report_timezone() }} end
                )),
                '{}'
            )
            from {{ ref('stg_video_events__alert_rules') }} as rules
        ),
        {%- endif %}
        'event_types', (
            select coalesce(jsonb_object_agg(types.event_type, types.category), '{}')
            from {{ ref('stg_video_events__event_types') }} as types
        )
    )
{%- endmacro %}


{#- SQL expression (numeric): when a load was published, in seconds since 1970; null when there is none. -#}
{% macro _last_published(load_seq) -%}
    {#- Numbers come again in a ledger that was restored or made anew; moments do not. -#}
    (
        select extract(epoch from loads.published_at)
        from {{ published_loads() }} as loads
        where loads.load_seq = {{ load_seq }}
    )
{%- endmacro %}


{#- SQL condition: the ledger still has what a mark stands for, by number and by moment of publication. -#}
{% macro _is_of_this_ledger(progress) -%}
    {#- Marks of earlier versions do not have the moment. -#}
    (
        {{ progress }}.load_seq <= (select counter.load_seq from {{ source('raw', 'load_counter') }} as counter)
        and (
            {{ progress }}.definition #>> '{ledger,published_at}' is null
            or ({{ progress }}.definition #>> '{ledger,published_at}')::numeric
            is not distinct from {{ _last_published(progress ~ '.load_seq') }}
        )
    )
{%- endmacro %}


{#- SQL expression (jsonb): which table a mark tells of, and which one it is in; both are others after a restore of both. -#}
{% macro _tables_of_mark() -%}
    jsonb_build_object(
        'table', {{ dbt.string_literal(this | string) }}::regclass::oid::text,
        'marks', {{ dbt.string_literal(progress_beside(this) | string) }}::regclass::oid::text
    )
{%- endmacro %}
