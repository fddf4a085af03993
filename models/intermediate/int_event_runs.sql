{{
    config(
        unique_key=['source_id', 'started_at', 'first_event_type'],
        indexes=[{'columns': ['source_id', 'started_at', 'first_event_type'], 'unique': true}],
        meta={'distributed_by': 'source_id', 'defined_by': ['event_types', 'alert_rules']},
    )
}}

with

events as (
    select daily_events.*
    from {{ ref('stg_video_events__daily_events') }} as daily_events
    where {{ is_visible(hi_from_scratch(), 'daily_events') }}
),

runs as (
    {{ event_runs('events', day='day_started_at') | indent(4) }}
),

final as (
    {{ runs_worth_keeping('runs') | indent(4) }}
)

select * from final
