{% macro check_run() %}
    {#- dbt writes it between quotation marks as it is. -#}
    {%- if '"' in target.schema -%}
        {%- do exceptions.raise_compiler_error("the schema of the target, " ~ target.schema ~ ", has a quotation mark: choose another DBT_SCHEMA") -%}
    {%- endif -%}
    {%- if execute -%}
        {%- set selected, schemas = [], [] -%}
        {%- for unique_id in selected_resources -%}
            {%- set kind, package = unique_id.split('.')[:2] -%}
            {%- if package == 'video_events' and unique_id in graph.nodes -%}
                {%- do schemas.append(graph.nodes[unique_id].schema) -%}
            {%- endif -%}
            {%- if package == 'video_events' and kind != 'seed' -%}
                {%- do selected.append(kind) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if schemas -%}
            {%- do run_query(check_schemas(schemas | unique | list)) -%}
        {%- endif -%}
        {%- set option = '--empty' if flags.EMPTY else '--sample' if invocation_args_dict.get('sample') else none -%}
        {%- if option and ('model' in selected or 'function' in selected) -%}
            {%- do exceptions.raise_compiler_error(
                option ~ " would make tables that lack events, with marks that say they hold them all;"
                ~ " nothing was changed. To try the models out, build them into a schema of their own"
                ~ " (DBT_SCHEMA=dev); to leave them out: --exclude package:video_events"
            ) -%}
        {%- endif -%}
        {%- set loads = source('raw', 'loads') -%}
        {#- To describe what may become takes no data. -#}
        {%- if selected and flags.WHICH not in ['compile', 'generate'] and not run_query(
            "select 1 as found from pg_catalog.pg_class as relations"
            ~ " inner join pg_catalog.pg_namespace as namespaces on relations.relnamespace = namespaces.oid"
            ~ " where namespaces.nspname = " ~ dbt.string_literal(loads.schema)
            ~ " and relations.relname = " ~ dbt.string_literal(loads.identifier)
        ) | length -%}
            {%- do exceptions.raise_compiler_error(
                "There is no " ~ loads.schema ~ "." ~ loads.identifier ~ " in database " ~ target.dbname
                ~ ": nothing was ever loaded into it; nothing was changed. Load something first (loader load"
                ~ " FILE), or see whether dbt and the loader mean the same database (loader db env)"
            ) -%}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
