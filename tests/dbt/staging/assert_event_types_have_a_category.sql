-- Every event type that was seen is listed in the seed event_types; the others count as `other`.
{{ config(severity='warn') }}

select event_types.event_type
from {{ ref('stg_video_events__event_types') }} as event_types
left join {{ ref('event_types') }} as listed on event_types.event_type = listed.event_type
where listed.event_type is null
