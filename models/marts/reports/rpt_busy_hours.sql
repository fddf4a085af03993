with

sources as (
    select * from {{ ref('dim_sources') }}
),

hours as (
    select
        source_id,
        category,
        event_count,
        hour_started_at at time zone {{ report_timezone() }} as local_hour
    from {{ ref('fct_hourly_detections') }}
),

hours_of_the_week as (
    select
        source_id,
        category,
        sum(event_count) as event_count,
        extract(isodow from local_hour)::int as weekday,
        extract(hour from local_hour)::int as hour_of_day
    from hours
    group by
        source_id,
        category,
        extract(isodow from local_hour)::int,
        extract(hour from local_hour)::int
),

categories as (
    select distinct
        source_id,
        category
    from hours_of_the_week
),

-- Also the hours in which nothing ever happened: they are the answer to "when is it quiet".
week as (
    select
        slots.slot,
        slots.slot / 24 + 1 as weekday,
        slots.slot % 24 as hour_of_day
    from generate_series(0, 167) as slots (slot)
),

-- Hours of the wall clock since a Monday (29 December 1969): modulo 168 the hour of the week.
observed as (
    select
        source_id,
        source_name,
        floor(
            extract(epoch from first_event_at at time zone {{ report_timezone() }}) / 3600
        )::bigint + 72 as first_hour,
        floor(
            extract(epoch from last_event_at at time zone {{ report_timezone() }}) / 3600
        )::bigint + 72 as last_hour
    from sources
),

counted as (
    select
        observed.source_id,
        observed.source_name,
        categories.category,
        to_char(timestamp '2023-12-31' + week.weekday * interval '1 day', 'FMDay') as weekday_name,
        week.weekday,
        week.hour_of_day,
        coalesce(hours_of_the_week.event_count, 0)::bigint as event_count,
        (
            floor((observed.last_hour - week.slot) / 168.0)
            - floor((observed.first_hour - 1 - week.slot) / 168.0)
        )::int as week_count
    from categories
    inner join observed on categories.source_id = observed.source_id
    cross join week
    left join hours_of_the_week
        on
            categories.source_id = hours_of_the_week.source_id
            and categories.category = hours_of_the_week.category
            and week.weekday = hours_of_the_week.weekday
            and week.hour_of_day = hours_of_the_week.hour_of_day
),

final as (
    select
        source_id,
        source_name,
        category,
        weekday_name,
        weekday,
        hour_of_day,
        event_count,
        week_count,
        -- An hour that never came has no average.
        event_count / nullif(week_count, 0)::double precision as events_per_hour,
        concat(weekday, ' ', weekday_name) as weekday_label
    from counted
)

select * from final
