with

sources as (
    select
        *,
        first_event_at at time zone {{ report_timezone() }} as first_event_at_local,
        max(last_event_at) over () at time zone {{ report_timezone() }}
            as last_event_anywhere_at_local
    from {{ ref('dim_sources') }}
),

-- The week that is looked at, and eight before it. The last hour is not over.
counts as (
    select
        hours.source_id,
        hours.category,
        sum(hours.event_count)::bigint as event_count,
        date_trunc('hour', hours.hour_started_at at time zone {{ report_timezone() }}) as local_hour
    from {{ ref('fct_hourly_detections') }} as hours
    where
        hours.hour_started_at >= (
            select max(sources.last_event_at) - interval '1536 hours' from sources
        )
    group by
        hours.source_id,
        hours.category,
        date_trunc('hour', hours.hour_started_at at time zone {{ report_timezone() }})
),

-- Also the hours in which nothing happened: they are what is unusual at a busy place.
all_hours as (
    select
        sources.source_id,
        sources.source_name,
        categories.category,
        sources.first_event_at_local,
        series.local_hour
    from (
        select distinct
            source_id,
            category
        from counts
    ) as categories
    inner join sources on categories.source_id = sources.source_id
    cross join lateral generate_series(
        greatest(
            date_trunc('hour', sources.first_event_at_local),
            date_trunc('hour', sources.last_event_anywhere_at_local) - interval '7 days'
        ),
        date_trunc('hour', sources.last_event_anywhere_at_local) - interval '1 hour',
        interval '1 hour'
    ) as series (local_hour)
),

-- The first hour of a source is no whole one.
usual as (
    select
        all_hours.source_id,
        all_hours.category,
        all_hours.local_hour,
        count(*)::int as week_count,
        percentile_cont(0.25) within group (order by coalesce(counts.event_count, 0)) as low,
        percentile_cont(0.5) within group (order by coalesce(counts.event_count, 0)) as median,
        percentile_cont(0.75) within group (order by coalesce(counts.event_count, 0)) as high
    from all_hours
    cross join generate_series(1, 8) as weeks (number)
    left join counts
        on
            all_hours.source_id = counts.source_id
            and all_hours.category = counts.category
            and all_hours.local_hour - weeks.number * interval '7 days' = counts.local_hour
    where all_hours.local_hour - weeks.number * interval '7 days' >= all_hours.first_event_at_local
    group by
        all_hours.source_id,
        all_hours.category,
        all_hours.local_hour
),

final as (
    select
        all_hours.source_id,
        all_hours.source_name,
        all_hours.category,
        {{ weekday_label('all_hours.local_hour') }} as weekday_label,
        extract(hour from all_hours.local_hour)::int as hour_of_day,
        coalesce(counts.event_count, 0) as event_count,
        usual.median as usual_event_count,
        usual.high - usual.low as event_count_spread,
        coalesce(usual.week_count, 0) as week_count,
        -- Far out of the middle half, and with fewer weeks nothing is usual.
        coalesce(
            usual.week_count >= 4
            and coalesce(counts.event_count, 0) not between
            usual.low - 1.5 * greatest(usual.high - usual.low, 1)
            and usual.high + 1.5 * greatest(usual.high - usual.low, 1),
            false
        ) as is_unusual,
        all_hours.local_hour as hour_started_at_local
    from all_hours
    left join usual
        on
            all_hours.source_id = usual.source_id
            and all_hours.category = usual.category
            and all_hours.local_hour = usual.local_hour
    left join counts
        on
            all_hours.source_id = counts.source_id
            and all_hours.category = counts.category
            and all_hours.local_hour = counts.local_hour
)

select * from final
