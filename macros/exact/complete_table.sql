{% macro _complete_table(relation, unique_key, lo, dropped_before) %}
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
            {{ _first_event_times(lo, moment) }}
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
        {%- do _lock_against_readers(relation) -%}
        {%- if additions -%}
            {%- do run_query('alter table ' ~ relation ~ ' ' ~ additions | join(', ')) -%}
            {%- do run_query('update ' ~ relation ~ ' as stored set ' ~ fillings | join(', ')) -%}
        {%- endif -%}
        {%- if alerts -%}
            {%- do _keep_times_of_alerts(relation, alerts, moment) -%}
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


{#-
    SQL expression: the times of the first events of a piece `stored` that an earlier version has stored without them, from
    the raw events that it has taken note of. Where these were dropped, only the first one is known; see `_keep_times_of_alerts`.
-#}
{% macro _first_event_times(lo, dropped_before) %}
    case
        when stored.started_at < {{ dropped_before }} then array[stored.started_at]
        else array(
            select history.occurred_at
            from {{ ref('stg_video_events__event_history') }} as history
            where
                history.source_id = stored.source_id
                and {{ chunks_between('history', 'stored.started_at', ['stored.ended_at']) }}
                and history.occurred_at between stored.started_at and stored.ended_at
                and (history.occurred_at, history.event_type collate "C")
                >= (stored.started_at, stored.first_event_type collate "C")
                and {{ is_visible(lo, 'history') }}
            order by history.occurred_at, history.event_type collate "C"
            limit least(
                stored.event_count,
                (
                    select coalesce(max(rules.threshold), 0)
                    from {{ ref('stg_video_events__alert_rules') }} as rules
                    where
                        rules.kind = 'consecutive'
                        and rules.category = stored.category
                )
            )
        )
    end
{% endmacro %}


{#-
    Of pieces whose raw events were dropped, the times at which alerts were triggered, from these: nothing before can change any
    more, so nobody will ask for others. Each piece has one alert of a rule at most.
-#}
{% macro _keep_times_of_alerts(relation, alerts, dropped_before) %}
    {%- for rule in run_query(
        "select rules.rule_name from " ~ ref('stg_video_events__alert_rules') ~ " as rules where rules.kind = 'consecutive'"
    ) -%}
        {%- call statement('keep_times_of_alerts') -%}
            update {{ relation }} as stored
            set first_event_times[rules.threshold - counted.earlier_event_count] = runs.triggered_at
            from {{ alerts }} as runs
            inner join {{ ref('stg_video_events__alert_rules') }} as rules on runs.rule_name = rules.rule_name
            {#- Each piece has an event, so the n-th one, at which an alert is triggered, is in the first n pieces. #}
            cross join lateral (
                select
                    first_pieces.*,
                    (
                        sum(first_pieces.event_count) over (
                            order by first_pieces.started_at, first_pieces.first_event_type collate "C"
                        ) - first_pieces.event_count
                    )::int as earlier_event_count
                from (
                    select
                        pieces.first_event_type,
                        pieces.event_count,
                        pieces.started_at
                    from {{ relation }} as pieces
                    where
                        pieces.source_id = runs.source_id
                        and pieces.started_at >= runs.started_at
                        and (pieces.started_at, pieces.first_event_type collate "C")
                        >= (runs.started_at, runs.first_event_type collate "C")
                    order by pieces.started_at, pieces.first_event_type collate "C"
                    limit rules.threshold
                ) as first_pieces
            ) as counted
            where
                rules.rule_name = {{ dbt.string_literal(dbt.escape_single_quotes(rule['rule_name'])) }}
                and {{ is_of_kind('runs', 'consecutive') }}
                and runs.triggered_at < {{ dropped_before }}
                and counted.earlier_event_count < rules.threshold
                and counted.earlier_event_count + counted.event_count >= rules.threshold
                and stored.source_id = runs.source_id
                and {{ same_key('stored', 'counted', ['started_at', 'first_event_type']) }}
        {%- endcall -%}
    {%- endfor -%}
{% endmacro %}
