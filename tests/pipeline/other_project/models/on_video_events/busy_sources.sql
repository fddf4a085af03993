{{ config(materialized='table') }}

select
    source_name,
    sum(event_count) as event_count
from {{ ref('fct_activity_periods') }}
group by source_name
