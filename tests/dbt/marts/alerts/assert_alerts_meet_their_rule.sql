-- An alert is due between its first and its last event, and its rule is met.
select
    alerts.alert_id,
    rules.kind
from {{ ref('fct_alerts') }} as alerts
left join {{ ref('stg_video_events__alert_rules') }} as rules on alerts.rule_name = rules.rule_name
where
    (alerts.triggered_at between alerts.started_at and alerts.ended_at) is not true
    or (rules.category = alerts.category) is not true
    or (rules.kind = 'consecutive' and alerts.event_count < rules.threshold)
    or (rules.kind = 'unusual' and alerts.triggered_at <> alerts.ended_at)
    or (rules.kind = 'absence' and alerts.ended_at - alerts.started_at < rules.min_duration)
    or (rules.kind = 'presence' and alerts.ended_at - alerts.started_at < rules.min_duration)
