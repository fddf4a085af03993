{{
    config(
        unique_key=['source_id', 'started_at', 'first_event_type'],
        indexes=[{'columns': ['source_id', 'started_at', 'first_event_type'], 'unique': true}],
        meta={'defined_by': ['event_types', 'alert_rules']},
    )
}}

with

events as (
    {{ all_events() | indent(4) }}
),

runs as (
    {{ event_runs('events') | indent(4) }}
),

final as (
    {{ runs_worth_keeping('runs') | indent(4) }}
)

select * from final
