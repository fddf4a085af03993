{% macro consecutive_alerts(runs, hi, stored=none) %}
    select
        rules.rule_name,
        runs.source_id,
        runs.category,
        runs.first_event_type,
        runs.event_count,
        runs.started_at,
        trigger_event.occurred_at as triggered_at,
        runs.ended_at
    from {{ runs }} as runs
    inner join {{ ref('alert_rules') }} as rules
        on
            rules.kind = 'consecutive'
            and runs.category = rules.category
            and runs.event_count >= rules.threshold
    {#- The time of the n-th event needs no order among equal times. #}
    cross join lateral (
        (
            select history.occurred_at
            from {{ ref('stg_video_events__event_history') }} as history
            where
                history.source_id = runs.source_id
                and {{ chunks_between('history', 'runs.started_at', ['runs.ended_at']) }}
                and history.occurred_at between runs.started_at and runs.ended_at
                and (history.occurred_at, history.event_type collate "C")
                >= (runs.started_at, runs.first_event_type collate "C")
                and {{ visible_at(hi, 'history') }}
                and runs.dropped_event_count < rules.threshold
            order by history.occurred_at
            limit 1 offset greatest(rules.threshold - runs.dropped_event_count - 1, 0)
        )
        {%- if stored %}
        union all
        {#- The n-th event was dropped; nothing before it can change any more. #}
        (
            select alerts.triggered_at as occurred_at
            from {{ stored }} as alerts
            where
                alerts.source_id = runs.source_id
                and alerts.started_at = runs.started_at
                and alerts.first_event_type = runs.first_event_type
                and alerts.rule_name = rules.rule_name
                and runs.dropped_event_count >= rules.threshold
            {{ fence() }}
        )
        {%- endif %}
    ) as trigger_event
{% endmacro %}
