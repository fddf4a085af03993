with

-- Few lengths occur in many periods: what has to be sorted is far less than the periods.
lengths as (
    select
        source_id,
        source_name,
        category,
        floor(extract(epoch from duration))::bigint as seconds,
        count(*) as period_count,
        count(*) filter (where duration = interval '0') as instant_period_count,
        sum(duration) as total_duration,
        max(duration) as longest_duration
    from {{ ref('fct_activity_periods') }}
    group by
        source_id,
        source_name,
        category,
        floor(extract(epoch from duration))::bigint
),

ranked as (
    select
        *,
        sum(period_count) over (
            partition by source_id, category
            order by seconds
        ) / sum(period_count) over (partition by source_id, category) as share_up_to
    from lengths
),

measured as (
    select
        source_id,
        source_name,
        category,
        sum(period_count)::bigint as period_count,
        sum(instant_period_count)::bigint as instant_period_count,
        sum(total_duration) / sum(period_count)::double precision as mean_duration,
        {% for name, share in [('median', 0.5), ('p90', 0.9), ('p95', 0.95)] -%}
        min(seconds) filter (where share_up_to >= {{ share }})
        * interval '1 second' as {{ name }}_duration,
        {% endfor -%}
        max(longest_duration) as longest_duration
    from ranked
    group by
        source_id,
        source_name,
        category
),

final as (
    select
        *,
        {{ seconds_of('mean_duration') }} as mean_duration_seconds,
        {{ seconds_of('median_duration') }} as median_duration_seconds,
        {{ seconds_of('p90_duration') }} as p90_duration_seconds,
        {{ seconds_of('p95_duration') }} as p95_duration_seconds,
        {{ seconds_of('longest_duration') }} as longest_duration_seconds
    from measured
)

select * from final
