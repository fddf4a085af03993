with

sources as (
    select
        *,
        {{ local_hour('first_event_at') }} as first_hour,
        {{ local_hour('max(last_event_at) over ()') }} as last_hour
    from {{ ref('dim_sources') }}
),

-- The week that is looked at, and eight before it. The last hour is not over.
counts as (
    {% call counts_by_local_hour(ref('fct_hourly_detections')) -%}
        hours.hour_started_at >= (
            select max(sources.last_event_at) - interval '1536 hours' from sources
        )
    {%- endcall %}
),

-- Also the hours in which nothing happened: they are what is unusual at a busy place.
all_hours as (
    select
        sources.source_id,
        categories.category,
        sources.first_hour,
        generate_series(
            greatest(sources.first_hour, sources.last_hour - interval '7 days'),
            sources.last_hour - interval '1 hour',
            interval '1 hour'
        ) as local_hour
    from (
        select distinct
            source_id,
            category
        from counts
    ) as categories
    inner join sources on categories.source_id = sources.source_id
),

weeks as (
    select
        all_hours.source_id,
        all_hours.category,
        coalesce(counts.event_count, 0) as event_count,
        numbers.weeks_ago,
        all_hours.local_hour,
        all_hours.first_hour
    from all_hours
    cross join generate_series(0, 8) as numbers (weeks_ago)
    left join counts
        on
            all_hours.source_id = counts.source_id
            and all_hours.category = counts.category
            and all_hours.local_hour - numbers.weeks_ago * interval '7 days' = counts.local_hour
),

judged as (
    {{ judged_hours('weeks') | indent(4) }}
),

final as (
    select
        judged.source_id,
        sources.source_name,
        judged.category,
        {{ weekday_label('judged.local_hour') }} as weekday_label,
        extract(hour from judged.local_hour)::int as hour_of_day,
        judged.event_count,
        judged.usual_event_count,
        judged.event_count_spread,
        judged.week_count,
        judged.is_unusual,
        judged.local_hour as hour_started_at_local
    from judged
    inner join sources on judged.source_id = sources.source_id
)

select * from final
