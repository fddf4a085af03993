-- No CTEs, see stg_video_events__loads. The ledger is asked chunk by chunk. Then arrays become
-- rows: a condition on a column of the chunk is asked before, one on an event after.
-- Where maintenance brought chunks of several loads together, load_id is the last of them: to a
-- model, which has taken note of them all, they are the same. See docs/decisions/0046.
select
    events.load_id,
    events.source_id,
    events.event_type_id,
    event_types.event_type,
    event_types.category,
    events.load_seq,
    events.withdrawn_seq,
    events.chunk_started_at,
    events.chunk_ended_at,
    events.occurred_at
from (
    select
        chunks.load_id,
        chunks.source_id,
        {{ positions_in_ledger('chunks') }},
        chunks.first_event_at as chunk_started_at,
        chunks.last_event_at as chunk_ended_at,
        unnest(chunks.event_type_ids) as event_type_id,
        unnest(chunks.event_times) as occurred_at
    from {{ source('raw', 'event_chunks') }} as chunks
    {{ join_ledger('chunks') }}
) as events
inner join {{ ref('stg_video_events__event_types') }} as event_types
    on events.event_type_id = event_types.event_type_id
