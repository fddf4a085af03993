{{
    config(
        materialized='table',
        indexes=[
            {'columns': ['source_id', 'alert_id'], 'unique': true},
            {'columns': ['triggered_at']},
        ],
        meta={
            'defined_by': ['event_types', 'activity_gap', 'alert_rules'],
            'follows': ['fct_activity_periods'],
        },
    )
}}

with

events as (
    select * from {{ ref('stg_video_events__event_history') }} as history
    where {{ visible_at(batch_hi(), 'history') }}
),

alerts as (
    {{ all_alerts('events', ref('fct_activity_periods')) | indent(4) }}
),

sources as (
    select * from {{ ref('stg_video_events__sources') }}
),

final as (
    {{ named_alerts('alerts', 'sources') | indent(4) }}
)

select * from final
