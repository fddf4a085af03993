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
        from {{ at_nodes('differences', batch) }} as differences
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


{% macro hourly_counts(events, is_signed=false) %}
    select
        source_id,
        event_type,
        category,
        {{ 'sum(sign)' if is_signed else 'count(*)' }} as event_count,
        date_bin(interval '1 hour', occurred_at, timestamptz '2000-01-01 00:00:00+00')
            as hour_started_at
    from {{ events }}
    group by
        source_id,
        event_type,
        category,
        date_bin(interval '1 hour', occurred_at, timestamptz '2000-01-01 00:00:00+00')
{% endmacro %}


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
