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
    {%- do begin_own_transaction() -%}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {#- Two runs that look at a view and then replace it would wait for each other. -#}
    {%- call statement('lock') -%}
        select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended({{ dbt.string_literal('video-events view ' ~ target) }}, 0))
    {%- endcall -%}

    {%- set existing = existing_relation() -%}
    {%- set change = view_change(existing, sql) -%}
    {%- if change == 'rebuild' -%}
        {#- With all views on it, which a reader may have open. -#}
        {%- do patiently([existing], get_drop_sql(existing) ~ ';') -%}
        {%- do adapter.cache_dropped(existing) -%}
    {%- elif change == 'replace' -%}
        {%- do lock_against_readers(target) -%}
    {%- endif -%}
    {%- call statement('main') -%}
        {%- if change == 'none' -%}
            {#- A contract may be another one even so. -#}
            select 1 {%- if config.get('contract').enforced %}{{ get_assert_columns_equivalent(sql) }}{% endif %}
        {%- else -%}
            {{ get_replace_view_sql(target, sql) }}
        {%- endif -%}
    {%- endcall -%}

    {%- do apply_grants(target, grants, should_revoke=existing is not none) -%}
    {%- do persist_docs(target, model) -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}
