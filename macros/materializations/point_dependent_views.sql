{% macro point_dependent_views(from_relation, to_relation, and_then='') -%}
    for dependent in
        select distinct
            views.oid,
            views.oid::regclass as name,
            coalesce('with (' || array_to_string(views.reloptions, ', ') || ')', '') as options,
            pg_catalog.pg_get_viewdef(views.oid) as definition
        from pg_catalog.pg_depend as depends
        inner join pg_catalog.pg_rewrite as rules
            on depends.classid = 'pg_catalog.pg_rewrite'::regclass and depends.objid = rules.oid
        inner join pg_catalog.pg_class as views
            on rules.ev_class = views.oid and views.relkind = 'v'
        where depends.refobjid = to_regclass({{ dbt.string_literal(from_relation | string) }})
        -- A view on another one is the younger one: it comes first, as for those who read it.
        order by views.oid desc
    loop
        begin
            execute format(
                'create or replace view %s %s as %s',
                dependent.name,
                dependent.options,
                replace(dependent.definition, {{ dbt.string_literal(from_relation.identifier) }}, {{ dbt.string_literal(to_relation.identifier) }})
            );
        exception when invalid_table_definition or undefined_column or datatype_mismatch then
            raise notice '% does not fit the rebuilt table', dependent.name;
        end;
        {{ and_then }}
    end loop;
{%- endmacro %}
