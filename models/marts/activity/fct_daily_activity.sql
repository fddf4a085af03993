{{
    config(
        unique_key=['source_id', 'category', 'activity_date'],
        indexes=[
            {'columns': ['source_id', 'category', 'activity_date'], 'unique': true},
            {'columns': ['activity_date']},
        ],
        meta={
            'defined_by': ['event_types', 'activity_gap', 'report_timezone'],
            'follows': ['fct_activity_periods', 'fct_hourly_detections'],
        },
    )
}}

-- depends_on: {{ ref('stg_video_events__loads') }}, {{ ref('stg_video_events__event_history') }}
with

{% if is_incremental() %}

days as (
    {{ changed_days(this_batch()) | indent(4) }}
),

{% else %}

days as (
    select distinct
        source_id,
        category,
        {{ report_date('hour_started_at') }} as activity_date
    from {{ ref('fct_hourly_detections') }}
),

{% endif %}

counts as (
    {{
        daily_counts(
            'days', hours=ref('fct_hourly_detections'), periods=ref('fct_activity_periods')
        ) | indent(4)
    }}
),

sources as (
    select * from {{ ref('stg_video_events__sources') }}
),

final as (
    select
        counts.source_id,
        sources.source_name,
        counts.category,
        counts.event_count::bigint as event_count,
        counts.period_count,
        counts.occupancy::double precision as occupancy,
        counts.activity_date,
        counts.active_duration
    from counts
    inner join sources on counts.source_id = sources.source_id
    {%- if not is_incremental() %}
    where counts.event_count > 0
    {%- endif %}
)

select * from final
