with

events as (
    select * from {{ ref('stg_video_events__events') }}
),

alerts as (
    {{ all_alerts('events', ref('activity_periods_live')) | indent(4) }}
),

sources as (
    select * from {{ ref('stg_video_events__sources') }}
),

final as (
    {{ named_alerts('alerts', 'sources') | indent(4) }}
)

select * from final
