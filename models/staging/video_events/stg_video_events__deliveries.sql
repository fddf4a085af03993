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
    events.load_id,
    events.source_id,
    events.last_load_id,
    count(*)::int as event_count,
    events.chunk_started_at,
    events.chunk_ended_at,
    min(events.event_time) as first_event_at,
    max(events.event_time) as last_event_at
from (
    select
        chunks.source_id,
        chunks.load_id as last_load_id,
        chunks.first_event_at as chunk_started_at,
        chunks.last_event_at as chunk_ended_at,
        unnest(chunks.load_ids) as load_id,
        unnest(chunks.event_times) as event_time
    from {{ source('raw', 'event_chunks') }} as chunks
    where chunks.load_ids is not null
) as events
group by
    events.load_id,
    events.source_id,
    events.last_load_id,
    events.chunk_started_at,
    events.chunk_ended_at
