-- Where the models that alerts are made from hold the same loads, what meets a rule has its alert.
{{ config(group='activity') }}

with

due as (
    select
        rules.rule_name,
        periods.source_id,
        periods.started_at,
        periods.ended_at
    from {{ ref('fct_activity_periods') }} as periods
    inner join {{ ref('stg_video_events__alert_rules') }} as rules
        on
            rules.kind = 'presence'
            and periods.category = rules.category
            and periods.ended_at - periods.started_at >= rules.min_duration

    union all

    select
        absences.rule_name,
        absences.source_id,
        absences.started_at,
        absences.ended_at
    from ({{ absence_alerts(ref('fct_activity_periods')) | indent(4) }}) as absences

    union all

    select
        unusual.rule_name,
        unusual.source_id,
        unusual.started_at,
        unusual.ended_at
    from ({{ unusual_alerts(ref('fct_hourly_detections')) | indent(4) }}) as unusual

    union all

    select
        rules.rule_name,
        runs.source_id,
        runs.started_at,
        runs.ended_at
    from {{ ref('int_event_runs') }} as runs
    inner join {{ ref('stg_video_events__alert_rules') }} as rules
        on
            rules.kind = 'consecutive'
            and runs.category = rules.category
            and runs.event_count >= rules.threshold
),

marks as (
    select count(distinct load_seq) as mark_count
    from {{ source('progress', 'model_progress') }}
    where
        model_name in (
            'fct_alerts', 'fct_activity_periods', 'fct_hourly_detections', 'int_event_runs'
        )
)

select due.*
from due
left join {{ ref('fct_alerts') }} as alerts
    on
        due.rule_name = alerts.rule_name
        and due.source_id = alerts.source_id
        and due.started_at >= alerts.started_at
        and due.ended_at <= alerts.ended_at
where
    alerts.alert_id is null
    and (select marks.mark_count from marks) = 1
