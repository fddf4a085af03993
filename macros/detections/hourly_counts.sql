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
