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
        alerts.started_at,
        alerts.triggered_at,
        alerts.ended_at
    from {{ alerts }} as alerts
    inner join {{ ref('stg_video_events__sources') }} as sources on alerts.source_id = sources.source_id
{% endmacro %}
