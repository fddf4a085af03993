-- No CTEs, see stg_video_events__loads. No arrays: a unit test of dbt cannot stand in for them.
select
    chunks.load_id,
    chunks.source_id,
    chunks.event_count,
    loads.load_seq,
    loads.withdrawn_seq,
    chunks.first_event_at as chunk_started_at,
    chunks.last_event_at as chunk_ended_at
from {{ source('raw', 'event_chunks') }} as chunks
inner join {{ ref('stg_video_events__loads') }} as loads on chunks.load_id = loads.load_id
