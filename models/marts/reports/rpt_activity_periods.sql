with

periods as (
    select
        *,
        started_at at time zone {{ report_timezone() }} as started_at_local,
        ended_at at time zone {{ report_timezone() }} as ended_at_local
    from {{ ref('fct_activity_periods') }}
),

final as (
    select
        activity_period_id,
        source_id,
        source_name,
        category,
        {{ weekday_label('started_at_local') }} as weekday_label,
        extract(hour from started_at_local)::int as hour_of_day,
        event_count,
        duration_seconds,
        started_at_local,
        ended_at_local
    from periods
)

select * from final
