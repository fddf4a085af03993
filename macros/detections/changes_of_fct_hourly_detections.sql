{% macro changes_of_fct_hourly_detections(stored, batch) %}
    with

    changed_events as (
        {{ changed_events(batch) | indent(8) }}
    ),

    differences as materialized (
        {{ hourly_counts('changed_events', is_signed=true) | indent(8) }}
    ),

    counts as (
        select
            differences.source_id,
            differences.event_type,
            differences.category,
            coalesce(stored.event_count, 0) + differences.event_count as event_count,
            differences.hour_started_at
        from differences
        left join lateral (
            select hours.event_count
            from {{ stored }} as hours
            where {{ same_key('hours', 'differences', ['source_id', 'hour_started_at', 'event_type']) }}
            {{ fence() }}
        ) as stored on true
    )

    select
        named.*,
        named.event_count = 0 as is_removed
    from ({{ named_hourly_detections('counts') | indent(4) }}) as named
{% endmacro %}
