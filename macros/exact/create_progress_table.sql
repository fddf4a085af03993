{% macro create_progress_table(progress) -%}
    create schema if not exists {{ progress.without_identifier().include(database=false) }};
    {#- Two that create it at once would fail without this lock. -#}
    select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('video-events model_progress', 0));
    create table if not exists {{ progress }} (
        model_name text primary key,
        load_seq bigint,
        definition jsonb,
        updated_at timestamptz
    );
{%- endmacro %}
