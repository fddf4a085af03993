{{
    config(
        unique_key=['source_id', 'started_at', 'first_event_type'],
        indexes=[{'columns': ['source_id', 'started_at', 'first_event_type'], 'unique': true}],
        meta={'defined_by': ['event_types', 'alert_rules']},
    )
}}

-- depends_on: {{ ref('stg_video_events__loads') }}, {{ ref('alert_rules') }}
with

{% if is_incremental() %}

runs as (
    {{ changed_event_runs(stored=this, batch=this_batch()) | indent(4) }}
),

{% else %}

events as (
    select * from {{ ref('stg_video_events__event_history') }} as history
    where {{ visible_at(this_batch().hi, 'history') }}
),

all_runs as (
    {{ event_runs('events') | indent(4) }}
),

runs as (
    {{ runs_worth_keeping('all_runs') | indent(4) }}
),

{% endif %}

final as (
    select
        source_id,
        category,
        first_event_type,
        event_count::bigint as event_count,
        is_first_in_bucket,
        is_last_in_bucket,
        bucket_started_at,
        started_at,
        ended_at
    from runs
)

select * from final
