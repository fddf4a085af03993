{% macro keep_dependent_views() %}
    {#-
        A rebuilt table takes the place of the old one, and dbt then drops the old one together
        with the views on it: the live ones and those of BI users. Within the transaction of the
        swap they are pointed at the new table instead. One that no longer fits its columns goes.
    -#}
    {%- if execute -%}
    {%- set backup = make_backup_relation(this, 'table') -%}
    do $$
    declare
        dependent record;
    begin
        for dependent in
            select distinct
                views.oid::regclass as name,
                pg_catalog.pg_get_viewdef(views.oid) as definition
            from pg_catalog.pg_depend as depends
            inner join pg_catalog.pg_rewrite as rules
                on depends.classid = 'pg_catalog.pg_rewrite'::regclass and depends.objid = rules.oid
            inner join pg_catalog.pg_class as views
                on rules.ev_class = views.oid and views.relkind = 'v'
            where depends.refobjid = to_regclass({{ dbt.string_literal(backup | string) }})
        loop
            begin
                execute format(
                    'create or replace view %s as %s',
                    dependent.name,
                    replace(dependent.definition, {{ dbt.string_literal(backup.identifier) }}, {{ dbt.string_literal(this.identifier) }})
                );
            exception when invalid_table_definition or undefined_column or datatype_mismatch then
                raise notice '% does not fit the rebuilt table', dependent.name;
            end;
        end loop;
    end
    $$
    {%- endif -%}
{% endmacro %}
