with

event_types as (
    select * from {{ ref('stg_video_events__event_types') }}
)

select
    event_type_id,
    event_type,
    category
from event_types
