-- No CTEs, see stg_video_events__loads. But a fence: types get their categories before they meet
-- the events, of which there are more than PostgreSQL thinks.
select
    event_types.event_type_id,
    event_types.event_type,
    coalesce(categories.category, 'other') as category
from {{ source('raw', 'event_types') }} as event_types
left join {{ ref('event_types') }} as categories
    on event_types.event_type = categories.event_type
{{ fence(in_parallel=true, is_lookup=false) }}
