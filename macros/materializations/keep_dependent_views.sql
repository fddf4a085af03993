{% macro keep_dependent_views() %}
    {#-
        A rebuilt table takes the place of the old one, and dbt then drops the old one together
        with the views on it: the live ones and those of BI users. Within the transaction of the
        swap they are pointed at the new table instead. One that no longer fits its columns goes.
        Only its owner can do that with a view, and nobody with a materialized one. A superuser could,
        but creating a stranger's view may run functions of that stranger.
    -#}
    {%- if execute -%}
    {%- set backup = make_backup_relation(this, 'table') -%}
    {%- if run_query(fixed_views(backup)) | length -%}
        {{ return(put_rows_into_old_table(backup)) }}
    {%- endif -%}
    do $$
    declare
        dependent record;
    begin
        for dependent in
            select
                views.oid::regclass as name,
                coalesce('with (' || array_to_string(views.reloptions, ', ') || ')', '') as options,
                pg_catalog.pg_get_viewdef(views.oid) as definition
            from ({{ dependent_views(backup) | indent(12) }}) as dependent_views
            inner join pg_catalog.pg_class as views on dependent_views.view_id = views.oid
        loop
            begin
                execute format(
                    'create or replace view %s %s as %s',
                    dependent.name,
                    dependent.options,
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
