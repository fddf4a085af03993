with

event_history as (
    select * from {{ ref('stg_video_events__event_history') }}
),

sources as (
    select * from {{ ref('stg_video_events__sources') }}
),

final as (
    select
        event_history.load_id,
        event_history.source_id,
        event_history.event_type_id,
        sources.source_name,
        event_history.event_type,
        event_history.category,
        event_history.attributes,
        event_history.occurred_at
    from event_history
    inner join sources on event_history.source_id = sources.source_id
    where event_history.withdrawn_seq is null
)

select * from final
