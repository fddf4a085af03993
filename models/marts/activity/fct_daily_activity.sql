{{
    config(
        unique_key=['source_id', 'category', 'activity_date'],
        indexes=[{'columns': ['activity_date']}],
        meta={
            'distributed_by': 'source_id',
            'defined_by': ['event_types', 'activity_gap', 'report_timezone'],
            'follows': ['fct_activity_periods', 'fct_hourly_detections'],
        },
    )
}}

with

days as (
    select distinct
        source_id,
        category,
        {{ report_date('hour_started_at') }} as activity_date
    from {{ ref('fct_hourly_detections') }}
),

counts as (
    {{ daily_counts('days') | indent(4) }}
),

final as (
    {{ named_daily_activity('counts') | indent(4) }}
)

select * from final
where event_count > 0
