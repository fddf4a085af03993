with

event_types as (
    select * from {{ source('raw', 'event_types') }}
),

categories as (
    select * from {{ ref('event_types') }}
),

final as (
    select
        event_types.event_type_id,
        event_types.event_type,
        coalesce(categories.category, 'other') as category
    from event_types
    left join categories on event_types.event_type = categories.event_type
)

select * from final
