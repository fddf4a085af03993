{{
    config(
        unique_key=['source_id', 'category', 'started_at'],
        indexes=[
            {'columns': ['source_id', 'category', 'started_at'], 'unique': true},
            {'columns': ['category', 'started_at']},
        ],
        meta={'defined_by': ['event_types', 'activity_gap']},
    )
}}

-- depends_on: {{ ref('stg_video_events__loads') }}
with

{% if is_incremental() %}

periods as (
    {{
        changed_periods(
            stored=this,
            key=['source_id', 'category'],
            batch=this_batch(),
            recount_from=ref('stg_video_events__event_history'),
        ) | indent(4)
    }}
),

{% else %}

events as (
    select * from {{ ref('stg_video_events__event_history') }} as history
    where {{ visible_at(this_batch().hi, 'history') }}
),

buckets as (
    {{ event_buckets('events') | indent(4) }}
),

periods as (
    {{ merge_periods('buckets', ['source_id', 'category']) | indent(4) }}
),

{% endif %}

sources as (
    select * from {{ ref('stg_video_events__sources') }}
),

final as (
    {{ named_activity_periods('periods', 'sources') | indent(4) }}
)

-- Who looks for the periods of a source and category, as the models that follow do, then finds
-- them side by side.
select * from final
order by source_id, category, started_at
