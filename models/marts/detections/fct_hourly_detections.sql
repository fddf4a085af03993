{{
    config(
        unique_key=['source_id', 'hour_started_at', 'event_type'],
        indexes=[
            {'columns': ['source_id', 'hour_started_at', 'event_type'], 'unique': true},
            {'columns': ['hour_started_at']},
        ],
        meta={'defined_by': ['event_types']},
    )
}}

-- depends_on: {{ ref('stg_video_events__loads') }}
with

{% if is_incremental() %}

counts as (
    {{ changed_hourly_detections(stored=this, batch=this_batch()) | indent(4) }}
),

{% else %}

events as (
    select * from {{ ref('stg_video_events__event_history') }} as history
    where {{ visible_at(this_batch().hi, 'history') }}
),

counts as (
    {{ hourly_counts('events') | indent(4) }}
),

{% endif %}

sources as (
    select * from {{ ref('stg_video_events__sources') }}
),

final as (
    select
        counts.source_id,
        sources.source_name,
        counts.event_type,
        counts.category,
        counts.event_count::bigint as event_count,
        counts.hour_started_at
    from counts
    inner join sources on counts.source_id = sources.source_id
)

select * from final
