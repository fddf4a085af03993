{% macro put_rows_into_old_table(old) %}
    {#-
        Views that cannot be pointed at the rebuilt table keep the old one alive: it gets the new
        rows, and its name back. That takes a second copy of them while readers wait, so only then.
    -#}
    {%- call statement('put_rows_into_old_table') -%}
        do $$
        declare
            old_table constant regclass := {{ dbt.string_literal(old | string) }};
            new_table constant regclass := {{ dbt.string_literal(this | string) }};
            shapes text[];
            names text;
            index_name regclass;
        begin
            select array_agg(shape) into shapes
            from (
                select jsonb_build_array(
                    (
                        select jsonb_agg(jsonb_build_array(
                            columns.attname, columns.atttypid, columns.atttypmod,
                            columns.attcollation, columns.attnotnull
                        ) order by columns.attnum)
                        from pg_catalog.pg_attribute as columns
                        where columns.attrelid = tables.oid and columns.attnum > 0 and not columns.attisdropped
                    ),
                    (
                        select jsonb_agg(definition order by definition)
                        from pg_catalog.pg_constraint as constraints
                        cross join pg_catalog.pg_get_constraintdef(constraints.oid) as definition
                        where constraints.conrelid = tables.oid
                    )
                )::text as shape
                from pg_catalog.pg_class as tables
                where tables.oid in (old_table, new_table)
            ) as shapes_of_both;
            if shapes[1] <> shapes[2] then
                select string_agg(format('%s (of %s)', view_name, owner_name), ', ' order by view_name) into names
                from ({{ fixed_views(old) | indent(16) }}) as fixed_views;
                raise exception using
                    errcode = 'dependent_objects_still_exist',
                    message = format('{{ this.identifier }} gets other columns or constraints, but these views read it and are materialized or not of %s: %s; nothing was changed', current_user, names),
                    hint = 'Drop them, rebuild, and create them again.';
            end if;

            -- Without indexes rows go in faster; dbt creates those of the model again.
            for index_name in
                select indexes.indexrelid::regclass
                from pg_catalog.pg_index as indexes
                where
                    indexes.indrelid = old_table
                    and not exists (
                        select from pg_catalog.pg_constraint as constraints
                        where constraints.conindid = indexes.indexrelid
                    )
            loop
                execute format('drop index %s', index_name);
            end loop;
            truncate {{ old.render() }};
            insert into {{ old.render() }} select * from {{ this.render() }};
            drop table {{ this.render() }};
            alter table {{ old.render() }} rename to {{ adapter.quote(this.identifier) }};
        end
        $$
    {%- endcall -%}
    {%- set table = this.incorporate(type='table') -%}
    {%- do create_indexes(table) -%}
    {%- do apply_grants(table, config.get('grants'), should_revoke=true) -%}
    {%- do persist_docs(table, model) -%}
{% endmacro %}
