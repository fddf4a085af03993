{% macro numbered_pieces(pieces) %}
    {#- A run goes on where one bucket ends with its category and the next one begins with it. -#}
    {%- set in_order -%}
        window in_order as (
            partition by pieces.source_id
            order by pieces.started_at, pieces.first_event_type collate "C"
        )
    {%- endset -%}
    select
        *,
        (events_before - run_number)::int as earlier_event_count
    from (
        select
            pieces.*,
            max(pieces.events_before) filter (where pieces.is_start) over in_order as run_number
        from (
            select
                pieces.*,
                (
                    pieces.is_first_in_bucket
                    and lag(pieces.is_last_in_bucket) over in_order
                    and lag(pieces.category) over in_order = pieces.category
                ) is not true as is_start,
                (sum(pieces.event_count) over in_order)::bigint - pieces.event_count as events_before
            from {{ pieces }} as pieces
            {{ in_order | indent(12) }}
        ) as pieces
        {{ in_order | indent(8) }}
    ) as numbered
{% endmacro %}


{% macro consecutive_alerts(pieces) %}
    select
        rules.rule_name,
        pieces.source_id,
        pieces.category,
        min(pieces.first_event_type) filter (where pieces.is_start) as first_event_type,
        sum(pieces.event_count)::bigint as event_count,
        min(pieces.started_at) as started_at,
        {#- Null in all pieces but the one in which the rule is met. #}
        min(pieces.first_event_times[rules.threshold - pieces.earlier_event_count]) as triggered_at,
        max(pieces.ended_at) as ended_at
    from {{ pieces }} as pieces
    inner join {{ ref('stg_video_events__alert_rules') }} as rules
        on
            rules.kind = 'consecutive'
            and pieces.category = rules.category
    group by
        rules.rule_name,
        rules.threshold,
        pieces.source_id,
        pieces.category,
        pieces.run_number
    having
        sum(pieces.event_count) >= rules.threshold
        and not bool_or(pieces.is_separator)
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


{% macro absence_alerts(periods, are_open_too=false) %}
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
    where (silences.ended_at - silences.started_at >= silences.min_duration) is {{ 'not false' if are_open_too else 'true' }}
{% endmacro %}


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
        {{ deterministic_id(['alerts.rule_name', 'alerts.source_id', 'alerts.first_event_type'], 'alerts.started_at') }}
            as alert_id,
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
