with

alerts as (
    select
        *,
        {{ report_date('triggered_at') }} as alert_date
    from {{ ref('fct_alerts') }}
),

final as (
    select
        rule_name,
        source_id,
        source_name,
        category,
        count(*) as alert_count,
        sum(event_count)::bigint as event_count,
        alert_date,
        min(triggered_at) as first_triggered_at,
        max(triggered_at) as last_triggered_at,
        max(ended_at - started_at) as longest_duration,
        {{ seconds_of('max(ended_at - started_at)') }} as longest_duration_seconds,
        min(triggered_at) at time zone {{ report_timezone() }} as first_triggered_at_local,
        max(triggered_at) at time zone {{ report_timezone() }} as last_triggered_at_local
    from alerts
    group by
        rule_name,
        source_id,
        source_name,
        category,
        alert_date
)

select * from final
