-- No two periods of one category are closer than the gap.
with

neighbours as (
    select
        category,
        started_at,
        lag(ended_at) over (
            partition by category
            order by started_at
        ) as previous_ended_at
    from {{ ref('fct_category_activity_periods') }}
)

select neighbours.*
from neighbours
left join {{ ref('categories') }} as categories on neighbours.category = categories.category
where neighbours.started_at - neighbours.previous_ended_at < {{ activity_gap('categories') }}
