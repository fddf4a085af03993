-- Marts that hold the same loads hold the same events: none is lost, none is counted twice.
with

totals as (
    select
        'fct_activity_periods' as model_name,
        sum(event_count) as event_count
    from {{ ref('fct_activity_periods') }}
    union all
    select
        'fct_category_activity_periods' as model_name,
        sum(event_count) as event_count
    from {{ ref('fct_category_activity_periods') }}
    union all
    select
        'fct_hourly_detections' as model_name,
        sum(event_count) as event_count
    from {{ ref('fct_hourly_detections') }}
    union all
    select
        'fct_daily_activity' as model_name,
        sum(event_count) as event_count
    from {{ ref('fct_daily_activity') }}
    union all
    select
        'dim_sources' as model_name,
        sum(event_count) as event_count
    from {{ ref('dim_sources') }}
)

select
    progress.load_seq,
    min(totals.event_count) as fewest,
    max(totals.event_count) as most
from totals
inner join {{ source('progress', 'model_progress') }} as progress
    on totals.model_name = progress.model_name
group by progress.load_seq
having min(totals.event_count) <> max(totals.event_count)
