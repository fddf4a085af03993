{% macro named_source_totals(totals) %}
    select
        totals.source_id,
        sources.source_name,
        totals.event_count::bigint as event_count,
        totals.first_event_at,
        totals.last_event_at
    from {{ totals }} as totals
    inner join {{ ref('stg_video_events__sources') }} as sources on totals.source_id = sources.source_id
{% endmacro %}
