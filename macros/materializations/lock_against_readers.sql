{% macro lock_against_readers(relation, and_its_views=false) %}
    {#-
        Before dbt does with a relation what excludes its readers until the commit. A reader of a
        view locks the view first and the table then, and `keep_dependent_views` replaces the views
        on a table: who locked these in another order would be told of a deadlock. So all locks
        are taken here, in the order of the readers.
    -#}
    {%- set attempt -%}
        declare
            wanted record;
        begin
            for wanted in
                select
                    relations.oid::regclass as name,
                    pg_catalog.pg_get_userbyid(relations.relowner) as owner
                from pg_catalog.pg_class as relations
                where
                    relations.oid = to_regclass({{ dbt.string_literal(relation | string) }})
                {%- if and_its_views %}
                    or relations.oid in ({{ dependent_views(relation) | indent(24) }})
                    -- Those of others, and materialized ones, stay as they are.
                    and relations.relkind = 'v'
                    and {{ is_trusted_owner('relations.relowner') | indent(20) }}
                {%- endif %}
                -- A view on another one is the younger one: it comes first, as for its readers.
                order by relations.relkind = 'v' desc, relations.oid desc
            loop
                begin
                    -- Changes nothing, but locks a view, and unlike `lock table` only it.
                    execute format('alter table %s owner to %I', wanted.name, wanted.owner);
                exception when undefined_table then
                    -- Somebody has just dropped it.
                    null;
                end;
            end loop;
        end;
    {%- endset -%}
    {%- do patiently([relation], attempt) -%}
{% endmacro %}
