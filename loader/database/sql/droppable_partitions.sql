-- The partitions that end before a bound that is at least a day before retained_from, and in the
-- middle of no partition: one that is longer than the others is dropped, or kept, as a whole.
-- Oldest first, each with the instant before which nothing is left once it is gone.
with partitions as (
    select
        child.relname as partition_name,
        substring(bounds.expression from $$FROM \('([^']+)'\)$$)::timestamptz as starts_at,
        substring(bounds.expression from $$ TO \('([^']+)'\)$$)::timestamptz as ends_at
    from pg_inherits as inheritance
    inner join pg_class as child on inheritance.inhrelid = child.oid
    cross join lateral (select pg_get_expr(child.relpartbound, child.oid) as expression) as bounds
    where inheritance.inhparent = 'raw.events'::regclass
),

wanted as (
    select (retained_from at time zone 'UTC' - interval '1 day') at time zone 'UTC' as dropped_before
    from raw.retention
),

bound as (
    select coalesce(min(partitions.starts_at), min(wanted.dropped_before)) as dropped_before
    from wanted
    left join partitions
        on
            wanted.dropped_before > partitions.starts_at
            and wanted.dropped_before < partitions.ends_at
)

select
    partitions.partition_name,
    case
        when lead(partitions.ends_at) over (order by partitions.ends_at) is null
            then bound.dropped_before
        else partitions.ends_at
    end as dropped_before
from bound
inner join partitions on bound.dropped_before >= partitions.ends_at
order by partitions.ends_at
