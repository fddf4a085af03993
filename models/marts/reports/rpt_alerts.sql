with

alerts as (
    select
        *,
        triggered_at at time zone {{ report_timezone() }} as triggered_at_local,
        started_at at time zone {{ report_timezone() }} as started_at_local,
        ended_at at time zone {{ report_timezone() }} as ended_at_local
    from {{ ref('fct_alerts') }}
),

final as (
    select
        alert_id,
        rule_name,
        source_id,
        source_name,
        category,
        {{ weekday_label('triggered_at_local') }} as weekday_label,
        extract(hour from triggered_at_local)::int as hour_of_day,
        event_count,
        {{ seconds_of('ended_at - started_at') }} as duration_seconds,
        triggered_at_local,
        started_at_local,
        ended_at_local
    from alerts
)

select * from final
