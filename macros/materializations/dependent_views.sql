{% macro dependent_views(relation) -%}
    select distinct views.oid as view_id
    from pg_catalog.pg_depend as depends
    inner join pg_catalog.pg_rewrite as rules
        on depends.classid = 'pg_catalog.pg_rewrite'::regclass and depends.objid = rules.oid
    inner join pg_catalog.pg_class as views
        on rules.ev_class = views.oid and views.relkind in ('v', 'm')
    where depends.refobjid = to_regclass({{ dbt.string_literal(relation | string) }})
{%- endmacro %}
