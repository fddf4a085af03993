{% macro check_run() %}
    {#- dbt writes it between quotation marks as it is, and into statements with parameters for seeds. -#}
    {%- if '"' in target.schema or '%' in target.schema -%}
        {%- do exceptions.raise_compiler_error("the schema of the target, " ~ target.schema ~ ", has a quotation mark or a %: choose another DBT_SCHEMA") -%}
    {%- endif -%}
    {%- if target.schema.endswith('_internal') or target.schema.encode('utf-8') | length > 54 -%}
        {%- do exceptions.raise_compiler_error(
            "the schema of the target is " ~ target.schema ~ ", but what readers do not read is in a schema with _internal"
            ~ " appended: choose a DBT_SCHEMA of at most 54 bytes that does not end so, or rename it (alter schema)"
        ) -%}
    {%- endif -%}
    {%- if execute -%}
        {%- set selected, schemas, kinds = [], [], [] -%}
        {%- for unique_id in selected_resources -%}
            {%- set kind, package = unique_id.split('.')[:2] -%}
            {%- if package == 'video_events' and unique_id in graph.nodes -%}
                {%- set schema = graph.nodes[unique_id].schema -%}
                {%- do schemas.extend([schema, schema.removesuffix('_internal') ~ '_internal']) -%}
            {%- endif -%}
            {%- do kinds.append(kind) -%}
            {%- if package == 'video_events' and kind != 'seed' -%}
                {%- do selected.append(kind) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if 'seed' in kinds -%}
            {%- do _refuse_empty_seeds() -%}
        {%- endif -%}
        {%- if schemas -%}
            {%- do run_query(_check_schemas(schemas | unique | list)) -%}
        {%- endif -%}
        {%- set option = '--empty' if flags.EMPTY else '--sample' if invocation_args_dict.get('sample') else none -%}
        {%- if option and ('model' in selected or 'function' in selected) -%}
            {%- do exceptions.raise_compiler_error(
                option ~ " would make tables that lack events, with marks that say they hold them all;"
                ~ " nothing was changed. To try the models out, build them into a schema of their own"
                ~ " (DBT_SCHEMA=dev); to leave them out: --exclude package:video_events"
            ) -%}
        {%- endif -%}
        {#- To describe what may become takes no data. -#}
        {%- if selected and flags.WHICH not in ['compile', 'generate'] -%}
            {%- do _check_raw(source('raw', 'loads'), source('raw', 'event_chunks')) -%}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}


{#- A seed without a first line, of which dbt says StopIteration when it reads it. -#}
{% macro _refuse_empty_seeds() %}
    {#- SHA-256 of nothing, and of a byte order mark. -#}
    {%- set nothing = [
        'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
        'f1945cd6c19e56b3c1c78943ef5ec18116907a4ca1efc40a57d48ab1db7adfc5',
    ] -%}
    {%- for seed in graph.nodes.values()
        if seed.resource_type == 'seed' and seed.package_name == 'video_events' and seed.checksum.checksum in nothing -%}
        {%- set slips = [] -%}
        {%- do seed_slips(slips, seed.name, [], []) -%}
        {%- do exceptions.raise_compiler_error(
            seed.original_file_path ~ " is refused, and nothing was changed:\n  " ~ slips | join("\n  ")
        ) -%}
    {%- endfor -%}
{% endmacro %}


{#- Stops where nothing was loaded, or by an older loader only. -#}
{% macro _check_raw(loads, chunks) %}
    {%- set relations = run_query(
        "select relations.relname, exists ("
        ~ "select from pg_catalog.pg_attribute as columns"
        ~ " where columns.attrelid = relations.oid and columns.attname = 'load_ids'"
        ~ ") as is_known from pg_catalog.pg_class as relations"
        ~ " inner join pg_catalog.pg_namespace as namespaces on relations.relnamespace = namespaces.oid"
        ~ " where namespaces.nspname = " ~ dbt.string_literal(loads.schema)
    ) -%}
    {%- set found = relations.columns['relname'].values() -%}
    {%- if loads.identifier not in found -%}
        {%- do exceptions.raise_compiler_error(
            "There is no " ~ loads.schema ~ "." ~ loads.identifier ~ " in database " ~ target.dbname
            ~ ": nothing was ever loaded into it; nothing was changed. Load something first (loader load"
            ~ " FILE), or see whether dbt and the loader mean the same database (loader db env)"
        ) -%}
    {%- elif chunks.identifier not in found -%}
        {%- do exceptions.raise_compiler_error(
            "There is no " ~ chunks.schema ~ "." ~ chunks.identifier ~ " in database " ~ target.dbname
            ~ ": an older loader has stored its events, each in a row; nothing was changed. Bring them into"
            ~ " chunks: loader maintain --migrate"
        ) -%}
    {%- elif not (relations | selectattr('relname', 'equalto', chunks.identifier) | first)['is_known'] -%}
        {%- do exceptions.raise_compiler_error(
            "The tables in schema " ~ loads.schema ~ " of database " ~ target.dbname ~ " are those of an older loader;"
            ~ " nothing was changed. Bring them up to date: loader maintain"
        ) -%}
    {%- endif -%}
{% endmacro %}


{% macro check_seeds() %}
    {%- set inputs = [] -%}
    {%- if execute and flags.WHICH in ['run', 'build'] and not invocation_args_dict.get('defer') -%}
        {%- for unique_id in selected_resources if unique_id.startswith('model.video_events.') -%}
            {%- do inputs.extend(graph.nodes[unique_id].depends_on.nodes) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- for seed in (graph.nodes.values() if inputs else [])
        if seed.resource_type == 'seed' and seed.package_name == 'video_events'
        and seed.unique_id in inputs and seed.unique_id not in selected_resources -%}
        {#- dbt's cache does not know what was moved. -#}
        {%- if not existing_relation(api.Relation.create(database=seed.database, schema=seed.schema, identifier=seed.alias)) -%}
            {%- if seed.name == 'categories' -%}
                {#- It came later than the models: as long as nobody fills it, all is as it was. -#}
                {%- do run_query(
                    "create table " ~ seed.relation_name ~ " (category text, activity_gap interval, is_alerted boolean, colour text)"
                ) -%}
            {%- else -%}
            {%- do exceptions.raise_compiler_error(
                "There is no " ~ seed.schema ~ "." ~ seed.alias ~ ", which models read; nothing was changed."
                ~ " Load the seeds first: dbt seed (dbt build does all of it)"
            ) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}


{#-
    Statement: raises an error when everybody may create in one of these schemas, or in one of the search
    path, or when one that is beside ours is a stranger's.
-#}
{% macro _check_schemas(schemas) %}
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
        stranger pg_catalog.name;
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
        {#- Who owns a schema may put anything in the place of what is there. #}
        select
            namespaces.nspname,
            roles.rolname
        into open_schema, stranger
        from pg_namespace as namespaces
        inner join pg_roles as roles on namespaces.nspowner = roles.oid
        where
            namespaces.nspname like '%\_internal'
            and namespaces.nspname in ({% for schema in schemas %}{{ dbt.string_literal(schema) }}{{ ', ' if not loop.last }}{% endfor %})
            and not roles.rolsuper
            and roles.rolname <> current_user
            and namespaces.nspowner not in (
                select beside.nspowner
                from pg_namespace as beside
                where beside.nspname || '_internal' = namespaces.nspname
                union all
                select datdba
                from pg_database
                where datname = current_database()
            );
        if found then
            raise insufficient_privilege using
                message = format('schema %I belongs to %I, and what they put there may run with the rights of %I; nothing was changed', open_schema, stranger, current_user),
                hint = format('alter schema %I owner to %I', open_schema, current_user);
        end if;
        perform set_config('search_path', usual, true);
    end
    $$
{% endmacro %}
