with

sources as (
    select
        *,
        sum(event_count) over () as event_count_anywhere,
        max(last_event_at) over () as last_event_anywhere_at
    from {{ ref('dim_sources') }}
),

days as (
    select
        source_id,
        sum(period_count)::bigint as period_count,
        count(distinct activity_date) as active_day_count
    from {{ ref('fct_daily_activity') }}
    group by source_id
),

alerts as (
    select
        source_id,
        count(*) as alert_count
    from {{ ref('fct_alerts') }}
    group by source_id
),

final as (
    select
        sources.source_id,
        sources.source_name,
        sources.event_count,
        (sources.event_count / sources.event_count_anywhere)::double precision as event_share,
        coalesce(days.period_count, 0) as period_count,
        coalesce(alerts.alert_count, 0) as alert_count,
        coalesce(days.active_day_count, 0) as active_day_count,
        sources.first_event_at,
        sources.last_event_at,
        sources.last_event_anywhere_at - sources.last_event_at as silent_duration,
        {{ seconds_of('sources.last_event_anywhere_at - sources.last_event_at') }}
            as silent_duration_seconds,
        sources.first_event_at at time zone {{ report_timezone() }} as first_event_at_local,
        sources.last_event_at at time zone {{ report_timezone() }} as last_event_at_local
    from sources
    left join days on sources.source_id = days.source_id
    left join alerts on sources.source_id = alerts.source_id
)

select * from final
