{% macro consecutive_alerts(runs, pieces) %}
    {#- Each piece has an event, so the n-th one is in the first n pieces of the run. #}
    select
        rules.rule_name,
        runs.source_id,
        runs.category,
        runs.first_event_type,
        runs.event_count,
        runs.started_at,
        counted.first_event_times[rules.threshold - counted.earlier_event_count] as triggered_at,
        runs.ended_at
    from {{ runs }} as runs
    inner join {{ ref('alert_rules') }} as rules
        on
            rules.kind = 'consecutive'
            and runs.category = rules.category
            and runs.event_count >= rules.threshold
    cross join lateral (
        select
            first_pieces.*,
            coalesce(
                sum(first_pieces.event_count) over (
                    order by first_pieces.started_at, first_pieces.first_event_type collate "C"
                    rows between unbounded preceding and 1 preceding
                ),
                0
            )::int as earlier_event_count
        from (
            select
                pieces.first_event_type,
                pieces.event_count,
                pieces.first_event_times,
                pieces.started_at
            from {{ pieces }} as pieces
            where
                pieces.source_id = runs.source_id
                and pieces.started_at >= runs.started_at
                and (pieces.started_at, pieces.first_event_type collate "C")
                >= (runs.started_at, runs.first_event_type collate "C")
            order by pieces.started_at, pieces.first_event_type collate "C"
            limit rules.threshold
        ) as first_pieces
    ) as counted
    where
        counted.earlier_event_count < rules.threshold
        and counted.earlier_event_count + counted.event_count >= rules.threshold
{% endmacro %}
