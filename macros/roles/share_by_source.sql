{% macro share_by_source(role='source_reader') %}
    {#-
        See docs/decisions/0015. All in one transaction: an account sees the old views or the new
        ones; the old ones stay if a new one would show what it must not. Here dbt opens none, says
        it did, and each statement would stand for itself; so the words are said, `commit` too.
    -#}
    {%- set schema = adapter.quote(target.schema ~ '_by_source') -%}
    {%- call statement('prepare') -%}
        begin;
        set local search_path = '';
        create schema if not exists {{ schema }};
        create table if not exists {{ schema }}.source_access (
            account text,
            source_name text,
            primary key (account, source_name)
        )
    {%- endcall -%}
    {#- Who made this schema before us would decide who sees what. -#}
    {%- for schema_owner in run_query(
        "select pg_catalog.pg_get_userbyid(nspowner) as name from pg_catalog.pg_namespace"
        ~ " where oid = " ~ dbt.string_literal(schema) ~ "::regnamespace and not (" ~ is_trusted_owner('nspowner') ~ ")"
    ) -%}
        {%- do exceptions.raise_compiler_error(
            "schema " ~ schema ~ " belongs to " ~ schema_owner['name'] ~ ", who is neither this user nor the owner of "
            ~ target.schema ~ ", and so would decide who sees what; nothing was changed"
        ) -%}
    {%- endfor -%}
    {#- All at once, because they read each other; somebody else's view on them makes this fail. -#}
    {%- set views = [] -%}
    {%- for view in run_query(
        "select relname as name from pg_class where relkind = 'v' and relnamespace = "
        ~ dbt.string_literal(schema) ~ "::regnamespace"
    ) -%}
        {%- do views.append(api.Relation.create(
            database=target.database, schema=target.schema ~ '_by_source', identifier=view['name'], type='view'
        )) -%}
    {%- endfor -%}
    {%- if views -%}
        {%- do patiently(views, "drop view " ~ views | join(", ") ~ ";") -%}
    {%- endif -%}
    {%- set models = _shareable_models() -%}
    {%- for shared in models -%}
        {%- set model = shared['model'] -%}
        {%- set view = schema ~ "." ~ adapter.quote(model.alias) -%}
        {%- set statements = [
            _function_by_source(shared, schema, role) if is_on_cluster() and not shared['is_report'] else "select 1",
            "create view " ~ view ~ " with (security_barrier) as " ~ _query_by_source(shared, schema),
            "grant select on " ~ view ~ " to " ~ adapter.quote(role),
            "comment on view " ~ view ~ " is " ~ dbt.string_literal(dbt.escape_single_quotes(model.description)),
        ] -%}
        {%- for column in model.columns.values() -%}
            {%- do statements.append(
                "comment on column " ~ view ~ "." ~ adapter.quote(column.name) ~ " is "
                ~ dbt.string_literal(dbt.escape_single_quotes(column.description))
            ) -%}
        {%- endfor -%}
        {%- do run_query(statements | join(";\n")) -%}
    {%- endfor -%}
    {%- do run_query("grant usage on schema " ~ schema ~ " to " ~ adapter.quote(role)) -%}
    {%- do _check_by_source(models | selectattr('is_report') | map(attribute='model.alias') | list, schema) -%}
    {%- do run_query("commit") -%}
    {%- for shared in models -%}
        {%- do log(shared['model'].alias ~ (": made anew" if shared['is_report'] else ": filtered"), info=true) -%}
    {%- endfor -%}
{% endmacro %}


{#-
    The public models that can be shared by source, in the order in which their views can be made: those
    with a `source_id`, and reports (`is_report`) on nothing but these.
-#}
{% macro _shareable_models() %}
    {%- set public = graph.nodes.values()
        | selectattr('resource_type', 'equalto', 'model')
        | selectattr('access', 'equalto', 'public') | sort(attribute='name') | list -%}
    {%- set public_ids = public | map(attribute='unique_id') | list -%}
    {%- set views = ['view', 'stable_view'] -%}
    {%- set found = [] -%}
    {%- for model in public if 'source_id' in model.columns and (
        model.config.materialized not in views or model.depends_on.nodes | reject('in', public_ids) | list
    ) -%}
        {%- do found.append({'model': model, 'is_report': false}) -%}
    {%- endfor -%}
    {#- As often as there are models: a report may be made of another report. -#}
    {%- for _ in public -%}
        {%- set found_ids = found | map(attribute='model.unique_id') | list -%}
        {%- for model in public if model.config.materialized in views and model.unique_id not in found_ids
            and not model.depends_on.nodes | reject('in', found_ids) | list -%}
            {%- do found.append({'model': model, 'is_report': true}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}


{#- Query: a shared model, cut down to the sources that the account may see. -#}
{% macro _query_by_source(shared, schema) %}
    {%- set model = shared['model'] -%}
    {%- if shared['is_report'] -%}
        {#- With an empty search_path PostgreSQL writes a schema before every name. -#}
        {%- set report = run_query(
            "select quote_ident(" ~ dbt.string_literal(model.schema) ~ ") as schema_name, pg_get_viewdef("
            ~ dbt.string_literal(model.relation_name) ~ "::regclass) as query"
        ) | list | first -%}
        {{ return(modules.re.sub(
            '(?<![\\w"])' ~ modules.re.escape(report['schema_name']) ~ '\\.', schema ~ '.', report['query']
        )) }}
    {%- endif -%}
    {%- if is_on_cluster() %}
    select * from {{ schema }}.{{ adapter.quote('rows_of_' ~ model.alias) }}()
    {%- else %}
    {{ _rows_by_source(model, schema, 'current_user') }}
    {%- endif %}
{%- endmacro %}


{% macro _rows_by_source(model, schema, account, columns='*') -%}
    select {{ columns }} from {{ model.relation_name }}
    where source_id = any (array(
        select sources.source_id
        from {{ schema }}.source_access as accesses
        inner join {{ ref('stg_video_events__sources') }} as sources
            on accesses.source_name = sources.source_name
        where accesses.account = {{ account }}
    ))
{%- endmacro %}


{#-
    Citus enters the nodes as whoever asks, who may read no mart there; what a function does with the rights of its owner, it enters
    them for as the owner. Who asks is then who has logged in.
-#}
{% macro _function_by_source(shared, schema, role) -%}
    {%- set model = shared['model'] -%}
    {%- set function = schema ~ '.' ~ adapter.quote('rows_of_' ~ model.alias) ~ '()' -%}
    {%- set columns = [] -%}
    {%- for column in model.columns.values() -%}
        {%- do columns.append(adapter.quote(column.name) ~ ' ' ~ column.data_type) -%}
    {%- endfor -%}
    drop function if exists {{ function }};
    create function {{ function }} returns table ({{ columns | join(', ') }})
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $function$
    #variable_conflict use_column
    declare
        {#- A node, or the coordinator on behalf of one, would say who entered it. #}
        who_asks constant text := session_user;
    begin
        return query {{ without_database(_rows_by_source(model, schema, 'who_asks', model.columns | join(', '))) }};
    end
    $function$;
    revoke execute on function {{ function }} from public;
    grant execute on function {{ function }} to {{ adapter.quote(role) }}
{%- endmacro %}


{#- Raises an error when a report in the schema of the views reads a relation that is not in it. -#}
{% macro _check_by_source(reports, schema) %}
    {%- for stranger in run_query(
        "select distinct views.relname as name, used.oid::regclass::text as used"
        ~ " from pg_class as views"
        ~ " inner join pg_rewrite as rules on views.oid = rules.ev_class"
        ~ " inner join pg_depend as depends on depends.classid = 'pg_rewrite'::regclass and rules.oid = depends.objid"
        ~ " inner join pg_class as used on depends.refclassid = 'pg_class'::regclass and depends.refobjid = used.oid"
        ~ " where views.relnamespace = " ~ dbt.string_literal(schema) ~ "::regnamespace"
        ~ " and views.relname in ('" ~ reports | join("', '") ~ "')"
        ~ " and used.relnamespace <> views.relnamespace"
    ) -%}
        {%- do exceptions.raise_compiler_error(
            schema ~ "." ~ stranger['name'] ~ " would read " ~ stranger['used']
            ~ ", where the rows of all sources are; nothing was changed"
        ) -%}
    {%- endfor -%}
{% endmacro %}
