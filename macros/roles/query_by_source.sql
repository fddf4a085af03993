{% macro query_by_source(shared, schema) %}
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
    select * from {{ model.relation_name }}
    where source_id = any (array(
        select sources.source_id
        from {{ schema }}.source_access as accesses
        inner join {{ ref('stg_video_events__sources') }} as sources
            on accesses.source_name = sources.source_name
        where accesses.account = current_user
    ))
{%- endmacro %}
