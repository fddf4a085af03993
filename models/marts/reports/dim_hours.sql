with

bounds as (
    select
        min(first_event_at) at time zone {{ report_timezone() }} as first_event_at,
        max(last_event_at) at time zone {{ report_timezone() }} as last_event_at
    from {{ ref('dim_sources') }}
),

-- By the wall clock: the hour that comes twice in autumn is one row.
hours as (
    select
        generate_series(
            date_trunc('hour', bounds.first_event_at), bounds.last_event_at, interval '1 hour'
        ) as local_hour
    from bounds
),

-- The hour that is left out in spring is none. There and back makes it the next one.
final as (
    select local_hour
    from hours
    where
        local_hour = (
            local_hour at time zone {{ report_timezone() }}
        ) at time zone {{ report_timezone() }}
)

select * from final
