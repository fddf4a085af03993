-- No CTEs, see stg_video_events__loads. A chunk of several loads is one row for each of them.
select
    chunks.load_id,
    chunks.source_id,
    chunks.load_id as last_load_id,
    chunks.event_count,
    chunks.first_event_at as chunk_started_at,
    chunks.last_event_at as chunk_ended_at,
    chunks.first_event_at,
    chunks.last_event_at
from {{ source('raw', 'event_chunks') }} as chunks
where chunks.load_ids is null

union all

select
    parts.load_id,
    chunks.source_id,
    chunks.load_id as last_load_id,
    parts.event_count,
    chunks.first_event_at as chunk_started_at,
    chunks.last_event_at as chunk_ended_at,
    parts.first_event_at,
    parts.last_event_at
from {{ source('raw', 'event_chunks') }} as chunks
cross join lateral (
    select
        events.load_id,
        count(*)::int as event_count,
        min(events.event_time) as first_event_at,
        max(events.event_time) as last_event_at
    from unnest(chunks.load_ids, chunks.event_times) as events (load_id, event_time)
    group by events.load_id
) as parts
where chunks.load_ids is not null
