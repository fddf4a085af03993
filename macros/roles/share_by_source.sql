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
    {%- set reports = [] -%}
    {%- set models = shareable_models() -%}
    {%- for shared in models -%}
        {%- set model = shared['model'] -%}
        {%- set view = schema ~ "." ~ adapter.quote(model.alias) -%}
        {%- set statements = [
            "create view " ~ view ~ " with (security_barrier) as " ~ query_by_source(shared, schema),
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
        {%- if shared['is_report'] -%}
            {%- do reports.append(model.alias) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do run_query("grant usage on schema " ~ schema ~ " to " ~ adapter.quote(role)) -%}
    {%- do check_by_source(reports, schema) -%}
    {%- do run_query("commit") -%}
    {%- for shared in models -%}
        {%- do log(shared['model'].alias ~ (": made anew" if shared['is_report'] else ": filtered"), info=true) -%}
    {%- endfor -%}
{% endmacro %}
