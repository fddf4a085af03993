{% macro grant_progress(progress) %}
    {#-
        Before it removes the rows of withdrawn loads, the loader looks up what every model has taken
        note of, and keeps it from changing. What cannot be granted here, it asks for itself.
    -#}
    do $$
    declare
        loader name;
        privileges text := case
            when current_setting('server_version_num')::int >= 170000 then 'select, maintain'
            else 'select, update'
        end;
    begin
        select roles.rolname into loader
        from pg_catalog.pg_namespace as namespaces
        inner join pg_catalog.pg_roles as roles on namespaces.nspowner = roles.oid
        where namespaces.nspname = 'raw';
        if loader is not null and not (
            has_schema_privilege(loader, {{ dbt.string_literal(progress.schema) }}, 'usage')
            and has_table_privilege(loader, {{ dbt.string_literal(progress | string) }}, privileges)
        ) then
            execute format('grant usage on schema {{ progress.without_identifier().include(database=false) }} to %I', loader);
            execute format('grant %s on {{ progress }} to %I', privileges, loader);
        end if;
    -- The latter when two runs do it at once.
    exception when insufficient_privilege or internal_error then
        raise notice 'cannot grant the loader what it needs: %', sqlerrm;
    end
    $$;
{% endmacro %}
