with

weeks as (
    select
        source_id,
        category,
        sum(event_count)::bigint as event_count,
        sum(period_count)::bigint as period_count,
        date_trunc('week', activity_date::timestamp)::date as week_date,
        sum(active_duration) as active_duration
    from {{ ref('fct_daily_activity') }}
    group by
        source_id,
        category,
        date_trunc('week', activity_date::timestamp)::date
),

alerts as (
    select
        source_id,
        category,
        count(*) as alert_count,
        date_trunc('week', triggered_at at time zone {{ report_timezone() }})::date as week_date
    from {{ ref('fct_alerts') }}
    group by
        source_id,
        category,
        date_trunc('week', triggered_at at time zone {{ report_timezone() }})::date
),

sources as (
    select
        *,
        max(last_event_at) over () as last_event_anywhere_at
    from {{ ref('dim_sources') }}
),

seen as (
    select
        source_id,
        category,
        min(week_date) as first_week_date,
        max(max(week_date)) over () as last_week_date
    from weeks
    group by
        source_id,
        category
),

-- Also the weeks in which a source saw nothing: falling silent is the greatest change of all.
all_weeks as (
    select
        seen.source_id,
        seen.category,
        generate_series(
            seen.first_week_date::timestamp,
            seen.last_week_date::timestamp,
            interval '1 week'
        )::date as week_date
    from seen
),

filled as (
    select
        all_weeks.source_id,
        sources.source_name,
        all_weeks.category,
        coalesce(weeks.event_count, 0) as event_count,
        coalesce(weeks.period_count, 0) as period_count,
        coalesce(alerts.alert_count, 0) as alert_count,
        {{ report_day_started_at('all_weeks.week_date') }} >= sources.first_event_at
        and {{ report_day_started_at('all_weeks.week_date + 7') }}
        <= sources.last_event_anywhere_at as is_complete,
        all_weeks.week_date,
        coalesce(weeks.active_duration, interval '0') as active_duration
    from all_weeks
    inner join sources on all_weeks.source_id = sources.source_id
    left join weeks
        on
            all_weeks.source_id = weeks.source_id
            and all_weeks.category = weeks.category
            and all_weeks.week_date = weeks.week_date
    left join alerts
        on
            all_weeks.source_id = alerts.source_id
            and all_weeks.category = alerts.category
            and all_weeks.week_date = alerts.week_date
),

final as (
    select
        source_id,
        source_name,
        category,
        event_count,
        lag(event_count) over week_before as previous_event_count,
        (event_count - lag(event_count) over week_before)
        / nullif(lag(event_count) over week_before, 0)::double precision as event_count_change,
        period_count,
        lag(period_count) over week_before as previous_period_count,
        alert_count,
        lag(alert_count) over week_before as previous_alert_count,
        is_complete,
        week_date,
        active_duration,
        lag(active_duration) over week_before as previous_active_duration,
        {{ seconds_of('active_duration') }} as active_duration_seconds,
        {{ seconds_of('lag(active_duration) over week_before') }}
            as previous_active_duration_seconds
    from filled
    window week_before as (
        partition by source_id, category
        order by week_date
    )
)

select * from final
