{% macro joined_runs(pieces) %}
    {#- A run goes on where one bucket ends with its category and the next one begins with it. -#}
    select
        numbered.source_id,
        numbered.category,
        min(numbered.first_event_type) filter (where numbered.is_start) as first_event_type,
        sum(numbered.event_count)::bigint as event_count,
        min(numbered.started_at) as started_at,
        max(numbered.ended_at) as ended_at
    from (
        select
            marked.*,
            count(*) filter (where marked.is_start) over (
                partition by marked.source_id
                order by marked.started_at, marked.first_event_type collate "C"
            ) as run_number
        from (
            select
                pieces.*,
                (
                    pieces.is_first_in_bucket
                    and lag(pieces.is_last_in_bucket) over in_order
                    and lag(pieces.category) over in_order = pieces.category
                ) is not true as is_start
            from {{ pieces }} as pieces
            window in_order as (
                partition by pieces.source_id
                order by pieces.started_at, pieces.first_event_type collate "C"
            )
        ) as marked
    ) as numbered
    group by
        numbered.source_id,
        numbered.category,
        numbered.run_number
    having not bool_or(numbered.is_separator)
{% endmacro %}
