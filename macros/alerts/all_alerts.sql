{% macro all_alerts(events, periods) %}
    with

    rules as (
        select * from {{ ref('alert_rules') }}
    ),

    {#- The order in a source depends on content only, never on arrival. #}
    marked as (
        select
            events.*,
            lag(events.category) over (
                partition by events.source_id
                order by events.occurred_at, events.event_type collate "C"
            ) is distinct from events.category as is_first
        from {{ events }} as events
    ),

    numbered as (
        select
            marked.*,
            count(*) filter (where marked.is_first) over (
                partition by marked.source_id
                order by marked.occurred_at, marked.event_type collate "C"
            ) as run_number
        from marked
    ),

    positioned as (
        select
            numbered.*,
            row_number() over (
                partition by numbered.source_id, numbered.run_number
                order by numbered.occurred_at, numbered.event_type collate "C"
            ) as position
        from numbered
    ),

    consecutive as (
        select
            rules.rule_name,
            positioned.source_id,
            positioned.category,
            min(positioned.event_type) filter (where positioned.position = 1) as first_event_type,
            count(*) as event_count,
            min(positioned.occurred_at) as started_at,
            min(positioned.occurred_at) filter (where positioned.position = rules.threshold)
                as triggered_at,
            max(positioned.occurred_at) as ended_at
        from positioned
        inner join rules
            on
                positioned.category = rules.category
                and rules.kind = 'consecutive'
        group by
            rules.rule_name,
            rules.threshold,
            positioned.source_id,
            positioned.category,
            positioned.run_number
        having count(*) >= rules.threshold
    ),

    presence as (
        select
            rules.rule_name,
            periods.source_id,
            periods.category,
            null as first_event_type,
            periods.event_count,
            periods.started_at,
            periods.started_at + rules.min_duration as triggered_at,
            periods.ended_at
        from {{ periods }} as periods
        inner join rules
            on
                periods.category = rules.category
                and rules.kind = 'presence'
                and periods.duration >= rules.min_duration
    )

    select * from consecutive
    union all
    select * from presence
{% endmacro %}
