-- No CTEs, see stg_video_events__loads. No arrays: a unit test of dbt cannot stand in for them.
select
    chunks.load_id,
    chunks.source_id,
    chunks.event_count,
    {{ positions_in_ledger('chunks') }},
    chunks.first_event_at as chunk_started_at,
    chunks.last_event_at as chunk_ended_at
from {{ source('raw', 'event_chunks') }} as chunks
{{ join_ledger('chunks') }}
