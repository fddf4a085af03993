{% macro event_buckets(events, is_signed=false, gap=none) %}
    {#-
        Two events of one bucket are always in one period, because a bucket is as long as the
        gap: what remains to be sorted is far less than the events.
    -#}
    select
        bucketed.source_id,
        bucketed.category,
        count(*) as event_count,
        bool_or(bucketed.sign < 0) as is_recount_needed,
        min(bucketed.occurred_at) as started_at,
        max(bucketed.occurred_at) as ended_at
    from (
        select
            source_id,
            category,
            occurred_at,
            {{ 'sign' if is_signed else '1 as sign' }},
            date_bin({{ gap or activity_gap() }}, occurred_at, timestamptz '2000-01-01 00:00:00+00') as bucket
        from {{ events }}
        {#- PostgreSQL would expect as many buckets as events, and sort instead of hash. #}
        {{ fence(in_parallel=not is_signed) }}
    ) as bucketed
    group by
        bucketed.source_id,
        bucketed.category,
        bucketed.bucket
{% endmacro %}
