with

days as (
    select * from {{ ref('fct_daily_activity') }}
),

sources as (
    select
        *,
        max(last_event_at) over () as last_event_anywhere_at
    from {{ ref('dim_sources') }}
),

categories as (
    select distinct
        source_id,
        category
    from days
),

-- Also the days without an event: an average over the others alone would say too much.
all_days as (
    select
        dated.*,
        {{ report_day_started_at('dated.activity_date') }} as day_started_at,
        {{ report_day_started_at('dated.activity_date + 1') }} as day_ended_at
    from (
        select
            sources.source_id,
            sources.source_name,
            categories.category,
            sources.first_event_at,
            sources.last_event_anywhere_at,
            generate_series(
                {{ report_date('sources.first_event_at') }}::timestamp,
                {{ report_date('sources.last_event_anywhere_at') }}::timestamp,
                interval '1 day'
            )::date as activity_date
        from categories
        inner join sources on categories.source_id = sources.source_id
    ) as dated
),

final as (
    select
        all_days.source_id,
        all_days.source_name,
        all_days.category,
        coalesce(days.event_count, 0) as event_count,
        coalesce(days.period_count, 0) as period_count,
        coalesce(days.occupancy, 0) as occupancy,
        all_days.first_event_at <= all_days.day_started_at
        and all_days.day_ended_at <= all_days.last_event_anywhere_at as is_complete,
        all_days.activity_date,
        coalesce(days.active_duration, interval '0') as active_duration,
        all_days.day_ended_at - all_days.day_started_at as day_duration,
        {{ seconds_of("coalesce(days.active_duration, interval '0')") }} as active_duration_seconds,
        {{ seconds_of('all_days.day_ended_at - all_days.day_started_at') }} as day_duration_seconds
    from all_days
    left join days
        on
            all_days.source_id = days.source_id
            and all_days.category = days.category
            and all_days.activity_date = days.activity_date
)

select * from final
