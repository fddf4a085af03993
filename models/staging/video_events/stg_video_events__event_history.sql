with

events as (
    select * from {{ source('raw', 'events') }}
),

loads as (
    select * from {{ ref('stg_video_events__loads') }}
),

event_types as (
    select * from {{ ref('stg_video_events__event_types') }}
),

final as (
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
    from events
    inner join loads on events.load_id = loads.load_id
    inner join event_types on events.event_type_id = event_types.event_type_id
)

select * from final
