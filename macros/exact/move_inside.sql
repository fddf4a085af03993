{#-
    Earlier versions had everything in the schema of the target. What readers do not read is moved to the schema
    beside it, all at once, before anything else is done: rows, marks, indexes, grants and the views on them stay as
    they are. See docs/decisions/0048.
-#}
{% macro move_inside() %}
    {%- set old_marks = _earlier_marks() if execute else [] -%}
    {%- if old_marks -%}
        {%- set moves = [] -%}
        {%- for progress in old_marks -%}
            {%- do moves.append({'old': progress, 'new': progress_beside(progress), 'kind': 'r', 'columns': ['definition']}) -%}
        {%- endfor -%}
        {%- for node in graph.nodes.values()
            if node.package_name == 'video_events' and node.resource_type in ['model', 'seed']
            and node.config.schema == 'internal' and node.schema != target.schema -%}
            {%- set new = api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias) -%}
            {%- do moves.append({
                'old': new.incorporate(path={'schema': target.schema}),
                'new': new,
                'kind': 'v' if node.config.materialized == 'stable_view' else 'r',
                'columns': node.columns.keys() | list if node.resource_type == 'seed' else [],
            }) -%}
        {%- endfor -%}
        {%- do patiently(moves | map(attribute='old') | list, _move(moves, old_marks)) -%}
        {%- for progress in old_marks -%}
            {%- do log(
                "What readers of schema " ~ progress.schema ~ " do not read is in schema "
                ~ progress_beside(progress).schema ~ " from now on",
                info=true
            ) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}


{#- The tables `model_progress` that are where earlier versions have them, as relations. -#}
{% macro _earlier_marks() %}
    {%- set schemas = [dbt.string_literal(target.schema)] -%}
    {%- for model in graph.nodes.values() if _is_stored(model) -%}
        {%- do schemas.append(dbt.string_literal(model.schema)) -%}
    {%- endfor -%}
    {%- set found = [] -%}
    {%- for schema in run_query(
        "select namespaces.nspname as name from pg_catalog.pg_class as relations"
        ~ " inner join pg_catalog.pg_namespace as namespaces on relations.relnamespace = namespaces.oid"
        ~ " inner join pg_catalog.pg_attribute as columns on relations.oid = columns.attrelid"
        ~ " where relations.relname = 'model_progress' and relations.relkind = 'r' and columns.attname = 'definition'"
        ~ " and namespaces.nspname in (" ~ schemas | unique | join(", ") ~ ") and namespaces.nspname not like '%\\_internal'"
    ).columns['name'].values() -%}
        {%- do found.append(api.Relation.create(database=target.database, schema=schema, identifier='model_progress', type='table')) -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}


{#- Statements (PL/pgSQL) that move relations, as far as they are there and are ours. -#}
{% macro _move(moves, old_marks) %}
    declare
        move record;
        definition text;
    begin
        perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('video-events model_progress', 0));
        for move in
            select
                relations.oid,
                relations.relowner,
                namespaces.nspowner,
                moves.*
            from (
                values
                {%- for move in moves %}
                (
                    {{ dbt.string_literal(move['old'].include(database=false) | string) }},
                    {{ dbt.string_literal(move['new'].include(database=false) | string) }},
                    {{ dbt.string_literal(move['new'].schema) }},
                    '{{ move['kind'] }}',
                    array['{{ move['columns'] | join("', '") }}']::text[]
                ){{ ',' if not loop.last }}
                {%- endfor %}
            ) as moves (old_name, new_name, new_schema, kind, columns)
            -- Names are looked up now, whatever was there when the transaction began.
            inner join pg_catalog.pg_class as relations on relations.oid = to_regclass(moves.old_name)
            inner join pg_catalog.pg_namespace as namespaces on relations.relnamespace = namespaces.oid
            where
                relations.relkind::text = moves.kind
                -- What has the name of a seed and other columns is somebody's own.
                and array_remove(moves.columns, '') <@ array(
                    select attributes.attname::text
                    from pg_catalog.pg_attribute as attributes
                    where attributes.attrelid = relations.oid and not attributes.attisdropped
                )
            order by relations.relkind = 'v' desc, relations.oid desc
        loop
            begin
                if to_regclass(move.new_name) is not null then
                    raise exception using
                        errcode = 'duplicate_table',
                        message = format('%s and %s are both there, as when an earlier version of this project ran after this one; nothing was changed', move.old_name, move.new_name),
                        hint = format('Use one version. What belongs to %s is the right one: drop the other, or move it away; where an earlier version has rebuilt marts since, rebuild them: dbt build --full-refresh', move.new_schema);
                end if;
                if to_regnamespace(quote_ident(move.new_schema)) is null then
                    execute format('create schema %I authorization %I', move.new_schema, pg_catalog.pg_get_userbyid(move.nspowner));
                end if;
                execute format('alter table %s set schema %I', move.old_name, move.new_schema);
            exception when insufficient_privilege then
                raise insufficient_privilege using
                    message = format('%s is to be moved to schema %s, and %I may not do that (%s); nothing was changed', move.old_name, move.new_schema, current_user, sqlerrm),
                    hint = 'As a superuser: ' || concat_ws(
                        '; ',
                        case when to_regnamespace(quote_ident(move.new_schema)) is null then format('create schema %I authorization %I', move.new_schema, current_user) end,
                        format('grant usage, create on schema %I to %I', move.new_schema, current_user),
                        case when not pg_catalog.pg_has_role(move.relowner, 'usage') then format('alter table %s owner to %I', move.old_name, current_user) end
                    );
            end;
        end loop;
        -- Views know what they read, functions only what it is called.
        for definition in
            select pg_catalog.pg_get_functiondef(routines.oid)
            from pg_catalog.pg_proc as routines
            inner join pg_catalog.pg_namespace as namespaces on routines.pronamespace = namespaces.oid
            where
                {%- for function in graph.functions.values() if function.package_name == 'video_events' %}
                (namespaces.nspname, routines.proname) = ({{ dbt.string_literal(function.schema) }}, {{ dbt.string_literal(function.alias) }}) or
                {%- endfor %}
                false
        loop
            {%- for move in moves %}
            definition := replace(definition, {{ dbt.string_literal(move['old'].include(database=false) | string) }}, {{ dbt.string_literal(move['new'].include(database=false) | string) }});
            {%- endfor %}
            execute definition;
        end loop;
        {%- for progress in old_marks %}
        -- An earlier version writes a mark before it changes anything, and dbt shows the name of the constraint.
        create table if not exists {{ progress }} (
            model_name text,
            constraint "built by a newer version of this project: update your checkout" check (false)
        );
        comment on table {{ progress }} is 'Empty: the marks are in {{ progress_beside(progress).schema }} now. It stops earlier versions of the project; drop it when nobody has them any more.';
        grant select on {{ progress }} to public;
        {%- endfor %}
    end;
{% endmacro %}
