{% macro complete_table(relation, unique_key, lo, dropped_before) %}
    {#-
        A table of an earlier version gets what its contract got since: columns, filled from its own or from what they
        are made of, and the primary key, which its unique index becomes. So nobody has to rebuild it for them. It is an
        error where nothing is known of a column: what changes is worked out from what is stored.
    -#}
    {%- set table = dbt.string_literal(relation | string) ~ "::regclass" -%}
    {%- set missing = run_query(
        "select wanted.name from unnest(array['" ~ model.columns | join("', '") ~ "']) as wanted (name)"
        ~ " where not exists (select from pg_attribute where attrelid = " ~ table ~ " and attname = wanted.name)"
    ).columns[0].values() if model.columns else [] -%}
    {%- set moment = dbt.string_literal(dropped_before or '-infinity') ~ '::timestamptz' -%}
    {%- set alerts = _alerts_table() if dropped_before and 'first_event_times' in missing -%}
    {%- set additions, fillings, demands, lacking = [], [], [], [] -%}
    {%- for column in model.columns.values() if column.name in missing -%}
        {%- set length = column.name[:-8] -%}
        {%- set filling -%}
            {%- if column.name == 'source_names' -%}
            (
                select string_agg(sources.source_name, ', ' order by sources.source_id)
                from {{ ref('stg_video_events__sources') }} as sources
                where sources.source_id = any (source_ids)
            )
            {%- elif column.name.endswith('_seconds') and length in model.columns -%}
            {{ seconds_of(length) }}
            {%- elif column.name == 'first_event_times' and (alerts or not dropped_before) -%}
            {{ first_event_times_of_stored(lo, moment) }}
            {%- endif -%}
        {%- endset -%}
        {%- if filling -%}
            {%- do additions.append('add column ' ~ column.name ~ ' ' ~ column.data_type) -%}
            {%- do fillings.append(column.name ~ ' = ' ~ filling) -%}
            {%- do demands.append('alter column ' ~ column.name ~ ' set not null') -%}
        {%- else -%}
            {%- do lacking.append(column.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if lacking and config.get('contract').enforced and not config.get('on_schema_change', '').endswith('_columns') -%}
        {%- do exceptions.raise_compiler_error(
            model.name ~ " was built by an earlier version of the model, and lacks " ~ lacking | join(", ")
            ~ ". Nothing was changed. Bring these up to date first (dbt run), or rebuild it: dbt build --full-refresh --select " ~ model.name ~ "+"
        ) -%}
    {%- endif -%}
    {%- if model.constraints | selectattr('type', 'equalto', 'primary_key') | list -%}
        {%- for index in run_query(
            "select indexes.indexrelid::regclass::text as name from pg_index as indexes where indexes.indrelid = " ~ table
            ~ " and indexes.indisunique and array(select attname from pg_attribute where attrelid = indexes.indexrelid order by attnum)"
            ~ " = array['" ~ unique_key | join("', '") ~ "']::name[]"
            ~ " and not exists (select from pg_constraint where conrelid = " ~ table ~ " and contype = 'p') limit 1"
        ) -%}
            {%- do demands.append('add primary key using index ' ~ index['name'].split('.')[-1]) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if demands -%}
        {%- do lock_against_readers(relation) -%}
        {%- if additions -%}
            {%- do run_query('alter table ' ~ relation ~ ' ' ~ additions | join(', ')) -%}
            {%- do run_query('update ' ~ relation ~ ' as stored set ' ~ fillings | join(', ')) -%}
        {%- endif -%}
        {%- if alerts -%}
            {%- do keep_times_of_alerts(relation, alerts, moment) -%}
        {%- endif -%}
        {%- do run_query('alter table ' ~ relation ~ ' ' ~ demands | join(', ')) -%}
    {%- endif -%}
{% endmacro %}


{#- The table `fct_alerts`; none without one. Its model reads others, and `ref` would make a circle of them. -#}
{% macro _alerts_table() %}
    {%- for node in graph.nodes.values() if node.package_name == 'video_events' and node.name == 'fct_alerts' -%}
        {{ return(existing_relation(
            api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias)
        )) }}
    {%- endfor -%}
{% endmacro %}
