{{
    config(
        unique_key=['source_id', 'category', 'started_at'],
        indexes=[{'columns': ['category', 'started_at']}],
        meta={'distributed_by': 'source_id', 'defined_by': ['event_types', 'activity_gap']},
    )
}}

with

events as (
    {{ all_events() | indent(4) }}
),

periods as (
    {{ periods_of('events', ['source_id', 'category']) | indent(4) }}
),

final as (
    {{ named_activity_periods('periods') | indent(4) }}
)

-- Who looks for the periods of a source and category, as the models that follow do, then finds
-- them side by side.
select * from final
order by source_id, category, started_at
