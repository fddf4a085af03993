with

events as (
    select * from {{ ref('stg_video_events__event_history') }} as history
    where
        {{ is_visible(hi_from_scratch(), 'history') }}
        -- So that it is an index scan for each.
        and history.source_id = any(
            array(
                select sources.source_id from {{ ref('stg_video_events__sources') }} as sources
            )
        )
        and {{ chunks_between('history', 'since', ['until']) }}
        and history.occurred_at >= since
        and history.occurred_at < until
),

periods as (
    {{ periods_of('events', ['source_id', 'category'], gap='gap') | indent(4) }}
)

select
    sources.source_id,
    sources.source_name,
    periods.category,
    periods.event_count,
    periods.started_at,
    periods.ended_at,
    periods.ended_at - periods.started_at as duration,
    {{ seconds_of('periods.ended_at - periods.started_at') }} as duration_seconds
from periods
inner join {{ ref('stg_video_events__sources') }} as sources
    on periods.source_id = sources.source_id
order by
    periods.category collate "C",
    sources.source_name collate "C",
    periods.started_at
