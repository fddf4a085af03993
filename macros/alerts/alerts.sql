{% macro joined_runs(pieces) %}
    {#- A run goes on where one bucket ends with its category and the next one begins with it. -#}
    select
        numbered.source_id,
        numbered.category,
        min(numbered.first_event_type) filter (where numbered.is_start) as first_event_type,
        sum(numbered.event_count)::bigint as event_count,
        min(numbered.started_at) as started_at,
        max(numbered.ended_at) as ended_at
    from (
        select
            marked.*,
            count(*) filter (where marked.is_start) over (
                partition by marked.source_id
                order by marked.started_at, marked.first_event_type collate "C"
            ) as run_number
        from (
            select
                pieces.*,
                (
                    pieces.is_first_in_bucket
                    and lag(pieces.is_last_in_bucket) over in_order
                    and lag(pieces.category) over in_order = pieces.category
                ) is not true as is_start
            from {{ pieces }} as pieces
            window in_order as (
                partition by pieces.source_id
                order by pieces.started_at, pieces.first_event_type collate "C"
            )
        ) as marked
    ) as numbered
    group by
        numbered.source_id,
        numbered.category,
        numbered.run_number
    having not bool_or(numbered.is_separator)
{% endmacro %}


{% macro consecutive_alerts(runs, pieces) %}
    select
        runs.rule_name,
        runs.source_id,
        runs.category,
        runs.first_event_type,
        runs.event_count,
        runs.started_at,
        counted.first_event_times[runs.threshold - counted.earlier_event_count] as triggered_at,
        runs.ended_at
    from (
        select {{ kept_at_nodes() }}
            alerting.*,
            rules.rule_name,
            rules.threshold
        from {{ runs }} as alerting
        inner join {{ ref('stg_video_events__alert_rules') }} as rules
            on
                rules.kind = 'consecutive'
                and alerting.category = rules.category
                and alerting.event_count >= rules.threshold
    ) as runs
    cross join lateral (
        {{ first_pieces_of_run(pieces, 'runs.threshold') | indent(8) }}
    ) as counted
    where
        counted.earlier_event_count < runs.threshold
        and counted.earlier_event_count + counted.event_count >= runs.threshold
{% endmacro %}


{#-
    Query: the first pieces of a run `runs`, each with the number of events before it. Each piece has an event, so the n-th one,
    at which an alert is triggered, is in the first n (`threshold`) pieces.
-#}
{% macro first_pieces_of_run(pieces, threshold) %}
    select
        first_pieces.*,
        coalesce(
            sum(first_pieces.event_count) over (
                order by first_pieces.started_at, first_pieces.first_event_type collate "C"
                rows between unbounded preceding and 1 preceding
            ),
            0
        )::int as earlier_event_count
    from (
        select
            pieces.first_event_type,
            pieces.event_count,
            pieces.first_event_times,
            pieces.started_at
        from {{ pieces }} as pieces
        where
            pieces.source_id = runs.source_id
            and pieces.started_at >= runs.started_at
            and (pieces.started_at, pieces.first_event_type collate "C")
            >= (runs.started_at, runs.first_event_type collate "C")
        order by pieces.started_at, pieces.first_event_type collate "C"
        limit {{ threshold }}
    ) as first_pieces
{% endmacro %}


{#- SQL condition; asked once, and not for each alert. -#}
{% macro is_of_kind(alerts, kind) -%}
    {{ alerts }}.rule_name = any(
        array(
            select rules.rule_name
            from {{ ref('stg_video_events__alert_rules') }} as rules
            where rules.kind = '{{ kind }}'
        )
    )
{%- endmacro %}


{% macro presence_alerts(periods) %}
    select
        rules.rule_name,
        periods.source_id,
        periods.category,
        '' as first_event_type,
        periods.event_count,
        periods.started_at,
        periods.started_at + {{ hours_of('rules.min_duration') }} as triggered_at,
        periods.ended_at
    from {{ periods }} as periods
    inner join {{ ref('stg_video_events__alert_rules') }} as rules
        on
            rules.kind = 'presence'
            and periods.category = rules.category
            and periods.ended_at - periods.started_at >= rules.min_duration
{% endmacro %}


{#- Query: silences from the end of a period to the start of the next one, as long as a rule of absence asks for. -#}
{% macro absence_alerts(periods) %}
    select
        silences.rule_name,
        silences.source_id,
        silences.category,
        '' as first_event_type,
        0 as event_count,
        silences.started_at,
        silences.started_at + {{ hours_of('silences.min_duration') }} as triggered_at,
        silences.ended_at
    from (
        {#- Without such a rule there is nothing to be sorted. #}
        select
            rules.rule_name,
            rules.min_duration,
            periods.source_id,
            periods.category,
            periods.ended_at as started_at,
            lead(periods.started_at) over (
                partition by rules.rule_name, periods.source_id
                order by periods.started_at
            ) as ended_at
        from {{ periods }} as periods
        inner join {{ ref('stg_video_events__alert_rules') }} as rules
            on
                rules.kind = 'absence'
                and periods.category = rules.category
    ) as silences
    where silences.ended_at - silences.started_at >= silences.min_duration
{% endmacro %}


{#- Query: silences that go on when this is read. -#}
{% macro open_absence_alerts(periods) %}
    {%- set rules_by_source -%}
    (
        select
            sources.source_id,
            rules.rule_name,
            rules.category,
            rules.min_duration
        from {{ ref('stg_video_events__alert_rules') }} as rules
        cross join {{ ref('stg_video_events__sources') }} as sources
        where rules.kind = 'absence'
    )
    {%- endset -%}
    select
        rules.rule_name,
        rules.source_id,
        rules.category,
        '' as first_event_type,
        0 as event_count,
        last_period.ended_at as started_at,
        last_period.ended_at + {{ hours_of('rules.min_duration') }} as triggered_at,
        null::timestamptz as ended_at
    from {{ at_nodes(rules_by_source, none) }} as rules
    cross join lateral (
        select periods.ended_at
        from {{ periods }} as periods
        where
            {{ same_key('periods', 'rules', ['source_id', 'category']) }}
        order by periods.started_at desc
        limit 1
    ) as last_period
    where {{ clock() }} - last_period.ended_at >= rules.min_duration
{% endmacro %}


{% macro named_alerts(alerts) %}
    select
        {{ deterministic_id(
            ['alerts.rule_name', 'alerts.source_id', 'alerts.first_event_type'],
            ['alerts.started_at'],
        ) }} as alert_id,
        alerts.rule_name,
        alerts.source_id,
        sources.source_name,
        alerts.category,
        alerts.first_event_type,
        alerts.event_count::bigint as event_count,
        alerts.triggered_at,
        alerts.started_at,
        alerts.ended_at
    from {{ alerts }} as alerts
    inner join {{ ref('stg_video_events__sources') }} as sources on alerts.source_id = sources.source_id
{% endmacro %}
