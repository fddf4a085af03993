{{
    config(
        unique_key=['source_id', 'hour_started_at', 'event_type'],
        indexes=[{'columns': ['hour_started_at']}],
        meta={'distributed_by': 'source_id', 'defined_by': ['event_types']},
    )
}}

with

events as (
    {{ all_events() | indent(4) }}
),

counts as (
    {{ hourly_counts('events') | indent(4) }}
),

final as (
    {{ named_hourly_detections('counts') | indent(4) }}
)

-- Who counts the days of a source then finds their hours side by side.
select * from final
order by source_id, hour_started_at
