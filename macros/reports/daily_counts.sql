{% macro daily_counts(days) %}
    {%- set hours = ref('fct_hourly_detections') -%}
    {%- set periods = ref('fct_activity_periods') -%}
    {#- Short index scans for each day, whatever the size of history. #}
    select
        bounds.source_id,
        bounds.category,
        coalesce(counted.event_count, 0) as event_count,
        measured.period_count,
        extract(epoch from measured.active_duration)
        / extract(epoch from bounds.day_ended_at - bounds.day_started_at) as occupancy,
        bounds.activity_date,
        measured.active_duration
    from (
        select
            *,
            {{ report_day_started_at('activity_date') }} as day_started_at,
            {{ report_day_started_at('activity_date + 1') }} as day_ended_at
        from {{ days }}
    ) as bounds
    cross join lateral (
        select sum(hours.event_count) as event_count
        from {{ hours }} as hours
        where
            hours.source_id = bounds.source_id
            and hours.category = bounds.category
            and hours.hour_started_at >= bounds.day_started_at
            and hours.hour_started_at < bounds.day_ended_at
        {{ fence() }}
    ) as counted
    cross join lateral (
        select
            count(*) filter (where periods.started_at >= bounds.day_started_at) as period_count,
            coalesce(
                sum(
                    least(periods.ended_at, bounds.day_ended_at)
                    - greatest(periods.started_at, bounds.day_started_at)
                ),
                interval '0'
            ) as active_duration
        from {{ periods }} as periods
        where
            {{ same_key('periods', 'bounds', ['source_id', 'category']) }}
            and periods.started_at < bounds.day_ended_at
            {#- Periods do not overlap: only the last one before midnight can reach over it. #}
            and periods.started_at >= coalesce(
                (
                    select max(earlier.started_at)
                    from {{ periods }} as earlier
                    where
                        {{ same_key('earlier', 'bounds', ['source_id', 'category']) }}
                        and earlier.started_at <= bounds.day_started_at
                ),
                bounds.day_started_at
            )
            and periods.ended_at >= bounds.day_started_at
        {{ fence() }}
    ) as measured
{% endmacro %}
