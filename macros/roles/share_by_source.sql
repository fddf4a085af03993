{% macro share_by_source(role='source_reader') %}
    {#-
        See docs/decisions/0015. All in one transaction: an account sees the old views or the new
        ones; the old ones stay if a new one would show what it must not.
    -#}
    {%- set schema = adapter.quote(target.schema ~ '_by_source') -%}
    {%- set statements, reports = [], [] -%}
    {%- call statement('prepare', auto_begin=true) -%}
        create schema if not exists {{ schema }};
        create table if not exists {{ schema }}.source_access (
            account text,
            source_name text,
            primary key (account, source_name)
        );
        set local search_path = ''
    {%- endcall -%}
    {#- All at once, because they read each other; somebody else's view on them makes this fail. -#}
    {%- set views = [] -%}
    {%- for view in run_query(
        "select relname as name from pg_class where relkind = 'v' and relnamespace = "
        ~ dbt.string_literal(schema) ~ "::regnamespace"
    ) -%}
        {%- do views.append(schema ~ "." ~ adapter.quote(view['name'])) -%}
    {%- endfor -%}
    {%- if views -%}
        {%- do statements.append("drop view " ~ views | join(", ")) -%}
    {%- endif -%}
    {%- for shared in shareable_models() -%}
        {%- set model = shared['model'] -%}
        {%- set view = schema ~ "." ~ adapter.quote(model.alias) -%}
        {%- do statements.extend([
            "create view " ~ view ~ " with (security_barrier) as " ~ query_by_source(shared, schema),
            "grant select on " ~ view ~ " to " ~ adapter.quote(role),
            "comment on view " ~ view ~ " is " ~ dbt.string_literal(dbt.escape_single_quotes(model.description)),
        ]) -%}
        {%- for column in model.columns.values() -%}
            {%- do statements.append(
                "comment on column " ~ view ~ "." ~ adapter.quote(column.name) ~ " is "
                ~ dbt.string_literal(dbt.escape_single_quotes(column.description))
            ) -%}
        {%- endfor -%}
        {%- if shared['is_report'] -%}
            {%- do reports.append(model.alias) -%}
        {%- endif -%}
        {%- do log(model.alias ~ (": made anew" if shared['is_report'] else ": filtered"), info=true) -%}
    {%- endfor -%}
    {%- do statements.append("grant usage on schema " ~ schema ~ " to " ~ adapter.quote(role)) -%}
    {%- for statement in statements -%}
        {%- do run_query(statement) -%}
    {%- endfor -%}
    {%- do check_by_source(reports, schema) -%}
    {%- do adapter.commit() -%}
{% endmacro %}
