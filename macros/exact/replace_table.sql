{#-
    Puts a rebuilt table into the place of the old one and points the views on that one at it, which dbt would drop; one that
    no longer fits its columns goes. Or, when one of them is not ours to point elsewhere, puts the rows into the old table.
-#}
{% macro _replace_table(old, new) %}
    {%- do _lock_against_readers(old, and_its_views=true) -%}
    {%- set views, fixed_views = [], [] -%}
    {#-
        Only its owner can make a view read another table, and nobody a materialized one. A superuser could, but to
        create a stranger's view again reads its literals, and may run functions of its owner.
    -#}
    {%- for view in run_query(
        "select namespaces.nspname as schema_name, views.relname as name,"
        ~ " views.oid::regclass || ' (of ' || pg_catalog.pg_get_userbyid(views.relowner) || ')' as description,"
        ~ " views.relkind = 'm' or not (" ~ is_trusted_owner('views.relowner') ~ ") as is_fixed"
        ~ " from (" ~ _dependent_views(old) ~ ") as dependent_views"
        ~ " inner join pg_catalog.pg_class as views on dependent_views.view_id = views.oid"
        ~ " inner join pg_catalog.pg_namespace as namespaces on views.relnamespace = namespaces.oid"
        ~ " order by 3"
    ) -%}
        {%- do views.append(api.Relation.create(database=this.database, schema=view['schema_name'], identifier=view['name'])) -%}
        {%- if view['is_fixed'] -%}
            {%- do fixed_views.append(view['description']) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if fixed_views -%}
        {{ return(_fill_old_table(old, new, fixed_views)) }}
    {%- endif -%}
    {%- set replaced = make_backup_relation(old, old.type) -%}
    {%- call statement('replace_table') -%}
        {{ get_drop_sql(replaced) }};
        do $$
        declare
            -- As long as the old table has its name, they read what has that name.
            definitions constant text[] := array(
                select format(
                    'create or replace view %s %s as %s',
                    views.oid::regclass,
                    'with (' || array_to_string(views.reloptions, ', ') || ')',
                    pg_catalog.pg_get_viewdef(views.oid)
                )
                from ({{ _dependent_views(old) | indent(16) }}) as dependent_views
                inner join pg_catalog.pg_class as views on dependent_views.view_id = views.oid
            );
            definition text;
        begin
            alter table {{ old.render() }} rename to {{ adapter.quote(replaced.identifier) }};
            alter table {{ new.render() }} rename to {{ adapter.quote(this.identifier) }};
            foreach definition in array definitions loop
                begin
                    execute definition;
                exception when invalid_table_definition or undefined_column or datatype_mismatch then
                    raise notice 'does not fit the rebuilt table: %', definition;
                end;
            end loop;
        end
        $$;
        {{ get_drop_sql(replaced) }}
    {%- endcall -%}
    {%- for view in views if not existing_relation(view) -%}
        {%- do adapter.cache_dropped(view) -%}
    {%- endfor -%}
{% endmacro %}


{#-
    Views that cannot be pointed at the rebuilt table keep the old one alive: it gets the new
    rows. That takes a second copy of them while readers wait, so only then.
-#}
{% macro _fill_old_table(old, new, fixed_views) %}
    {%- set shapes = [] -%}
    {%- for table in [old, new] -%}
        {%- set oid = dbt.string_literal(table.render()) ~ "::regclass" -%}
        {%- do shapes.append(
            "array(select (attname, atttypid, atttypmod, attcollation, attnotnull)::text from pg_catalog.pg_attribute"
            ~ " where attrelid = " ~ oid ~ " and attnum > 0 and not attisdropped order by attnum)"
            ~ " || array(select pg_get_constraintdef(oid) from pg_catalog.pg_constraint where conrelid = " ~ oid ~ " order by 1)"
        ) -%}
    {%- endfor -%}
    {%- if not run_query("select " ~ shapes | join(" = "))[0][0] -%}
        {%- do exceptions.raise_compiler_error(
            this.identifier ~ " gets other columns or constraints, but these views read it and are materialized or not of "
            ~ run_query("select current_user")[0][0] ~ ": " ~ fixed_views | join(", ") ~ "; nothing was changed."
            ~ " Drop them, rebuild, and create them again"
        ) -%}
    {%- endif -%}
    {%- call statement('fill_old_table') -%}
        {#- Without indexes rows go in faster. #}
        {%- for index in run_query(
            "select indexrelid::regclass::text as name from pg_catalog.pg_index as indexes"
            ~ " where indrelid = " ~ dbt.string_literal(old.render()) ~ "::regclass"
            ~ " and not exists (select from pg_catalog.pg_constraint where conindid = indexrelid)"
        ) %}
        drop index {{ index['name'] }};
        {%- endfor %}
        truncate {{ old.render() }};
        insert into {{ old.render() }} select * from {{ new.render() }};
        drop table {{ new.render() }}
    {%- endcall -%}
    {%- do create_indexes(old) -%}
{% endmacro %}


{#-
    Before what excludes the readers of a relation until the commit. A reader of a
    view locks the view first and the table then, and `_replace_table` replaces the views
    on a table: who locked these in another order would be told of a deadlock. So all locks
    are taken here, in the order of the readers.
-#}
{% macro _lock_against_readers(relation, and_its_views=false) %}
    {%- do lock_views_of_nodes() -%}
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
                    relations.oid = to_regclass({{ dbt.string_literal(relation.render()) }})
                {%- if and_its_views %}
                    or relations.oid in ({{ _dependent_views(relation) | indent(24) }})
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


{% macro _dependent_views(relation) -%}
    select distinct views.oid as view_id
    from pg_catalog.pg_depend as depends
    inner join pg_catalog.pg_rewrite as rules
        on depends.classid = 'pg_catalog.pg_rewrite'::regclass and depends.objid = rules.oid
    inner join pg_catalog.pg_class as views
        on rules.ev_class = views.oid and views.relkind in ('v', 'm')
    where
        depends.refobjid = to_regclass({{ dbt.string_literal(relation.render()) }})
        {#- The rule of a view depends on the view itself. #}
        and views.oid <> depends.refobjid
{%- endmacro %}


{% macro is_trusted_owner(owner) -%}
    {#- Not whoever a superuser, a member of every role, may act for. -#}
    pg_catalog.pg_has_role({{ owner }}, 'usage') and {{ owner }} in (
        select oid from pg_catalog.pg_roles where rolname = current_user
        union all
        select nspowner from pg_catalog.pg_namespace where nspname = {{ dbt.string_literal(target.schema) }}
    )
{%- endmacro %}
