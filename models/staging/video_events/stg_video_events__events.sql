-- No CTEs, see stg_video_events__loads. Here each event is of its own load, also where maintenance
-- brought those of several loads together.
select
    events.load_id,
    events.source_id,
    events.event_type_id,
    sources.source_name,
    event_types.event_type,
    event_types.category,
    events.attributes,
    events.chunk_started_at,
    events.chunk_ended_at,
    events.event_time as occurred_at
from {{ source('raw', 'events') }} as events
inner join {{ ref('stg_video_events__loads') }} as loads
    on events.load_id = loads.load_id and loads.withdrawn_seq is null
inner join {{ ref('stg_video_events__event_types') }} as event_types
    on events.event_type_id = event_types.event_type_id
inner join {{ ref('stg_video_events__sources') }} as sources on events.source_id = sources.source_id
