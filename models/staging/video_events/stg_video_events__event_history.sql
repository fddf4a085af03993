-- No CTEs, see stg_video_events__loads.
select
    events.load_id,
    events.source_id,
    events.event_type_id,
    event_types.event_type,
    event_types.category,
    events.attributes,
    loads.load_seq,
    loads.withdrawn_seq,
    events.event_time as occurred_at
from {{ source('raw', 'events') }} as events
inner join {{ ref('stg_video_events__loads') }} as loads on events.load_id = loads.load_id
inner join {{ ref('stg_video_events__event_types') }} as event_types
    on events.event_type_id = event_types.event_type_id
