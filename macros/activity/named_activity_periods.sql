{% macro named_activity_periods(periods, of_batch=false) %}
    select
        {{ deterministic_id(['periods.source_id', 'periods.category'], ['periods.started_at']) }}
            as activity_period_id,
        periods.source_id,
        sources.source_name,
        periods.category,
        periods.event_count::bigint as event_count,
        periods.started_at,
        periods.ended_at,
        periods.ended_at - periods.started_at as duration
        {%- if of_batch %},
        periods.is_removed
        {%- endif %}
    from {{ periods }} as periods
    inner join {{ ref('stg_video_events__sources') }} as sources on periods.source_id = sources.source_id
{% endmacro %}
