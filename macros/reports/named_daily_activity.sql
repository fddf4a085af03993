{% macro named_daily_activity(counts) %}
    select
        counts.source_id,
        sources.source_name,
        counts.category,
        counts.event_count::bigint as event_count,
        counts.period_count,
        counts.occupancy::double precision as occupancy,
        counts.activity_date,
        counts.active_duration
    from {{ counts }} as counts
    inner join {{ ref('stg_video_events__sources') }} as sources on counts.source_id = sources.source_id
{% endmacro %}
