-- No two periods of one source and category are closer than the gap.
with

neighbours as (
    select
        source_id,
        category,
        started_at,
        lag(ended_at) over (
            partition by
                source_id,
                category
            order by started_at
        ) as previous_ended_at
    from {{ ref('fct_activity_periods') }}
)

select neighbours.*
from neighbours
left join {{ ref('categories') }} as categories on neighbours.category = categories.category
where neighbours.started_at - neighbours.previous_ended_at < {{ activity_gap('categories') }}
