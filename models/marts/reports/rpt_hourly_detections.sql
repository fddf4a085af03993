with

hours as (
    select
        *,
        hour_started_at at time zone {{ report_timezone() }} as hour_started_at_local
    from {{ ref('fct_hourly_detections') }}
),

final as (
    select
        source_id,
        source_name,
        event_type,
        category,
        {{ weekday_label('hour_started_at_local') }} as weekday_label,
        extract(hour from hour_started_at_local)::int as hour_of_day,
        event_count,
        hour_started_at_local
    from hours
)

select * from final
