with

-- A bucket goes from its own bound up to the next one, which is not in it.
bounds (bucket, bucket_name, from_duration) as (
    values
    (1, 'an instant', interval '0'),
    (2, 'under 10 s', interval '1 microsecond'),
    (3, '10 s to 1 min', interval '10 seconds'),
    (4, '1 to 5 min', interval '1 minute'),
    (5, '5 to 10 min', interval '5 minutes'),
    (6, '10 to 30 min', interval '10 minutes'),
    (7, '30 to 60 min', interval '30 minutes'),
    (8, '1 h or more', interval '1 hour')
),

counted as (
    select
        source_id,
        source_name,
        category,
        width_bucket(
            duration,
            (select array_agg(bounds.from_duration order by bounds.bucket) from bounds)
        ) as bucket,
        count(*) as period_count
    from {{ ref('fct_activity_periods') }}
    group by
        source_id,
        source_name,
        category,
        bucket
),

totals as (
    select
        source_id,
        source_name,
        category,
        sum(period_count) as period_count
    from counted
    group by
        source_id,
        source_name,
        category
),

final as (
    select
        totals.source_id,
        totals.source_name,
        totals.category,
        bounds.bucket_name,
        bounds.bucket,
        coalesce(counted.period_count, 0)::bigint as period_count,
        (coalesce(counted.period_count, 0) / totals.period_count)::double precision as period_share,
        bounds.from_duration,
        {{ seconds_of('bounds.from_duration') }} as from_duration_seconds,
        concat(bounds.bucket, ' ', bounds.bucket_name) as bucket_label
    from totals
    cross join bounds
    left join counted
        on
            totals.source_id = counted.source_id
            and totals.category = counted.category
            and bounds.bucket = counted.bucket
)

select * from final
