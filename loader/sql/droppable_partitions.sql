select
    partitions.partition_name,
    bounds.dropped_before
from (
    select (retained_from at time zone 'UTC' - interval '1 day') at time zone 'UTC' as dropped_before
    from raw.retention
) as bounds
inner join (
    select
        child.relname as partition_name,
        substring(
            pg_get_expr(child.relpartbound, child.oid) from $$ TO \('([^']+)'\)$$
        )::timestamptz as ends_at
    from pg_inherits as inheritance
    inner join pg_class as child on inheritance.inhrelid = child.oid
    where inheritance.inhparent = 'raw.events'::regclass
) as partitions on partitions.ends_at <= bounds.dropped_before
order by partitions.ends_at
