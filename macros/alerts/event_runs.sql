{% macro event_runs(events) %}
    {#-
        The order in a source is that of (time, event type): content only, never arrival. The
        default frame of the count gives events that are equal in both the same number.
    -#}
    select
        numbered.source_id,
        numbered.category,
        min(numbered.event_type) filter (where numbered.is_start) as first_event_type,
        count(*) as event_count,
        numbered.run_number = 1 as is_first_in_bucket,
        numbered.run_number = max(numbered.run_number) over (
            partition by numbered.source_id, numbered.bucket_started_at
        ) as is_last_in_bucket,
        array_agg(numbered.occurred_at order by numbered.occurred_at) as first_event_times,
        numbered.bucket_started_at,
        min(numbered.occurred_at) as started_at,
        max(numbered.occurred_at) as ended_at
    from (
        select
            marked.*,
            count(*) filter (where marked.is_start) over (
                partition by marked.source_id, marked.bucket_started_at
                order by marked.occurred_at, marked.event_type collate "C"
            ) as run_number
        from (
            select
                bucketed.*,
                (
                    lag(bucketed.category) over (
                        partition by bucketed.source_id, bucketed.bucket_started_at
                        order by bucketed.occurred_at, bucketed.event_type collate "C"
                    ) is distinct from bucketed.category
                ) as is_start
            from (
                select
                    events.source_id,
                    events.category,
                    events.event_type,
                    events.occurred_at,
                    {{ run_bucket('events.occurred_at') }} as bucket_started_at
                from {{ events }} as events
            ) as bucketed
        ) as marked
    ) as numbered
    group by
        numbered.source_id,
        numbered.bucket_started_at,
        numbered.category,
        numbered.run_number
{% endmacro %}
