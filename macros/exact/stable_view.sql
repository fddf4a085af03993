{#-
    dbt's own view materialization puts a new view in the place of the old one and drops the old
    one with all that depends on it: on every run the live views would be gone for a moment.
    PostgreSQL can replace a view in place as long as its first columns stay as they are. A view
    that stays as it is is left alone: to replace it would make its readers wait for each other.
-#}
{% materialization stable_view, adapter='postgres' %}
    {%- set target = this.incorporate(type='view') -%}
    {%- set grants = config.get('grants') -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {%- do _begin_own_transaction() -%}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {#- Two runs that look at a view and then replace it would wait for each other. -#}
    {%- call statement('lock') -%}
        select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended({{ dbt.string_literal('video-events view ' ~ target) }}, 0))
    {%- endcall -%}

    {%- set existing = existing_relation() -%}
    {%- set change = _view_change(existing, sql) -%}
    {%- if change == 'rebuild' -%}
        {#- With all views on it, which a reader may have open. -#}
        {%- do patiently([existing], get_drop_sql(existing) ~ ';') -%}
        {%- do adapter.cache_dropped(existing) -%}
    {%- elif change == 'replace' -%}
        {%- do _lock_against_readers(target) -%}
    {%- endif -%}
    {%- call statement('main') -%}
        {%- if change in ['none', 'contract'] -%}
            select 1 {%- if change == 'contract' %}{{ get_assert_columns_equivalent(sql) }}{% endif %}
        {%- else -%}
            {{ get_replace_view_sql(target, sql) }}
        {%- endif -%}
    {%- endcall -%}

    {%- do apply_grants(target, grants, should_revoke=existing is not none) -%}
    {%- do _keep_comments(target) -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}


{#-
    What must be done to a view so that it gives the query: `create`, `rebuild`, `replace` (its columns
    are the first ones of the query), `none` (it gives the query already) or `contract` (it does, and the contract may be
    another one even so).
-#}
{% macro _view_change(view, sql) %}
    {%- if view is none -%}
        {{ return('create') }}
    {%- elif not view.is_view -%}
        {{ return('rebuild') }}
    {%- endif -%}
    {%- set candidate = make_temp_relation(view) -%}
    {%- set columns = [] -%}
    {%- for relation in [view, candidate] -%}
        {%- do columns.append(
            "array(select (attributes.attname::text, attributes.atttypid, attributes.atttypmod)"
            ~ " from pg_catalog.pg_attribute as attributes"
            ~ " where attributes.attrelid = " ~ dbt.string_literal(relation | string) ~ "::regclass"
            ~ " order by attributes.attnum)"
        ) -%}
    {%- endfor -%}
    {#- One query is one definition, whatever its layout: PostgreSQL writes both out itself. -#}
    {%- set compared = run_query(
        "create temporary view " ~ candidate ~ " as (" ~ sql ~ "\n); select case"
        ~ " when pg_get_viewdef(" ~ dbt.string_literal(view | string) ~ "::regclass)"
        ~ " = pg_get_viewdef(" ~ dbt.string_literal(candidate | string) ~ "::regclass) then "
        ~ ("case when " ~ _have_columns_of_contract([view]) ~ " then 'none' else 'contract' end"
            if config.get('contract').enforced else "'none'")
        ~ " when columns.current = columns.wanted[:cardinality(columns.current)] then 'replace'"
        ~ " else 'rebuild' end as change"
        ~ " from (select " ~ columns[0] ~ " as current, " ~ columns[1] ~ " as wanted) as columns"
    ) | list | first -%}
    {%- call statement('drop_candidate') -%}
        drop view {{ candidate }}
    {%- endcall -%}
    {{ return(compared['change']) }}
{% endmacro %}


{#- What is there now. dbt's cache is older than the lock, and does not know what was dropped with a table. -#}
{% macro existing_relation(relation=this) %}
    {%- for found in run_query(
        "select case relkind when 'v' then 'view' when 'm' then 'materialized_view' else 'table' end as type"
        ~ " from pg_catalog.pg_class where oid = to_regclass(" ~ dbt.string_literal(relation.render()) ~ ")"
    ) -%}
        {{ return(relation.incorporate(type=found['type'])) }}
    {%- endfor -%}
    {{ return(none) }}
{% endmacro %}
