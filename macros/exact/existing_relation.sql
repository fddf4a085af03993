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
