{% macro changed_source_totals(stored, batch) %}
    with

    changed_events as (
        {{ changed_events(batch) | indent(8) }}
    ),

    differences as materialized (
        select
            source_id,
            sum(sign) as event_count
        from changed_events
        group by source_id
    )

    select
        differences.source_id,
        coalesce(stored.event_count, 0) + differences.event_count as event_count,
        {#-
            Two ends of an index on (source_id, event_time); a withdrawal may move them inwards.
            What was dropped cannot be withdrawn: then the first one stays, and the last one of
            them comes back when nothing later is left.
        #}
        case
            when stored.first_event_at < {{ batch.dropped_before }} then stored.first_event_at
            else first_event.occurred_at
        end as first_event_at,
        coalesce(last_event.occurred_at, dropped_sources.last_event_at) as last_event_at
    from differences
    left join {{ stored }} as stored on differences.source_id = stored.source_id
    left join {{ source('raw', 'dropped_sources') }} as dropped_sources
        on differences.source_id = dropped_sources.source_id
    {%- for name, direction in [('first_event', 'asc'), ('last_event', 'desc')] %}
    left join lateral (
        select history.occurred_at
        from {{ ref('stg_video_events__event_history') }} as history
        where
            history.source_id = differences.source_id
            and {{ visible_at(batch.hi, 'history') }}
        order by history.occurred_at {{ direction }}
        limit 1
    ) as {{ name }} on true
    {%- endfor %}
{% endmacro %}
