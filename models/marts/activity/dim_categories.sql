{{ config(materialized='stable_view') }}

with

seen as (
    select category from {{ ref('stg_video_events__event_types') }}
    union
    select category from {{ ref('categories') }}
),

final as (
    select
        seen.category,
        categories.colour,
        coalesce(categories.is_alerted, true) as is_alerted,
        {{ activity_gap('categories') }} as activity_gap,
        {{ seconds_of(activity_gap('categories')) }} as activity_gap_seconds
    from seen
    left join {{ ref('categories') }} as categories on seen.category = categories.category
)

select * from final
