{% macro check_schemas(schemas) %}
    {#-
        What a query calls without its schema is looked for in the search path too, and whatever
        fits better than PostgreSQL's own wins; in databases of before PostgreSQL 15, everybody may
        create in `public`. So this looks without that path.
    -#}
    do $$
    declare
        usual constant text := pg_catalog.current_setting('search_path');
        places constant pg_catalog.name[] := pg_catalog.current_schemas(false);
        open_schema pg_catalog.name;
    begin
        perform pg_catalog.set_config('search_path', 'pg_catalog', true);
        select nspname into open_schema
        from pg_namespace
        where
            (
                nspname = any (places)
                {%- for schema in schemas %}
                or nspname = {{ dbt.string_literal(schema) }}
                {%- endfor %}
            )
            and has_schema_privilege('public', oid, 'create')
        limit 1;
        if found then
            raise insufficient_privilege using
                message = format('everybody may create in schema %I, and what they put there may run with the rights of %I; nothing was changed', open_schema, current_user),
                hint = format('revoke create on schema %I from public; where it is only in the search path, this does too: alter role %I set search_path = ''''', open_schema, session_user);
        end if;
        perform set_config('search_path', usual, true);
    end
    $$
{% endmacro %}
