{% macro named_hourly_detections(counts) %}
    select
        counts.source_id,
        sources.source_name,
        counts.event_type,
        counts.category,
        counts.event_count::bigint as event_count,
        counts.hour_started_at
    from {{ counts }} as counts
    inner join {{ ref('stg_video_events__sources') }} as sources on counts.source_id = sources.source_id
{% endmacro %}
