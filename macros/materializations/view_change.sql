{% macro view_change(view, sql) %}
    {%- if view is none -%}
        {{ return('create') }}
    {%- elif not view.is_view -%}
        {{ return('rebuild') }}
    {%- endif -%}
    {%- set candidate = make_temp_relation(view) -%}
    {%- call statement('create_candidate') -%}
        create temporary view {{ candidate }} as ({{ sql }})
    {%- endcall -%}
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
        "select case"
        ~ " when pg_get_viewdef(" ~ dbt.string_literal(view | string) ~ "::regclass)"
        ~ " = pg_get_viewdef(" ~ dbt.string_literal(candidate | string) ~ "::regclass) then 'none'"
        ~ " when columns.current = columns.wanted[:cardinality(columns.current)] then 'replace'"
        ~ " else 'rebuild' end as change"
        ~ " from (select " ~ columns[0] ~ " as current, " ~ columns[1] ~ " as wanted) as columns"
    ) | list | first -%}
    {%- call statement('drop_candidate') -%}
        drop view {{ candidate }}
    {%- endcall -%}
    {{ return(compared['change']) }}
{% endmacro %}
