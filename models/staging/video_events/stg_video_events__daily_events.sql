-- No CTEs, see stg_video_events__loads. Who needs all events in order sorts those of one day at a
-- time, and mostly they come in order already.
select
    chunks.load_id,
    chunks.source_id,
    {{ positions_in_ledger('chunks') }},
    date_bin(interval '1 day', chunks.first_event_at, timestamptz '2000-01-01 00:00:00+00')
        as day_started_at,
    unnest(chunks.event_type_ids) as event_type_id,
    unnest(chunks.event_times) as occurred_at
from {{ source('raw', 'event_chunks') }} as chunks
{{ join_ledger('chunks') }}
order by
    chunks.source_id,
    day_started_at,
    chunks.first_event_at
