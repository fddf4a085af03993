{% macro event_buckets(events, sign='1', gap=none) %}
    {#-
        Two events of one bucket are always in one period, because a bucket is as long as the
        gap: what remains to be sorted is far less than the events, and the aggregation before
        it runs in parallel.
    -#}
    select
        source_id,
        category,
        count(*) as event_count,
        bool_or({{ sign }} < 0) as is_recount_needed,
        min(occurred_at) as started_at,
        max(occurred_at) as ended_at
    from {{ events }}
    group by
        source_id,
        category,
        date_bin({{ gap or activity_gap() }}, occurred_at, timestamptz '2000-01-01 00:00:00+00')
{% endmacro %}
