-- Days since 1970; null for a bound that there is not.
select
    found.relname,
    floor(extract(epoch from found.starts_at) / 86400)::int as first_day,
    ceil(extract(epoch from found.ends_at) / 86400)::int as end_day
from (
    select
        child.relname,
        substring(bounds.expression from $$FROM \('([^']+)'\)$$)::timestamptz as starts_at,
        substring(bounds.expression from $$ TO \('([^']+)'\)$$)::timestamptz as ends_at
    from pg_inherits as inheritance
    inner join pg_class as child on inheritance.inhrelid = child.oid
    cross join lateral (select pg_get_expr(child.relpartbound, child.oid) as expression) as bounds
    where
        inheritance.inhparent = 'raw.events'::regclass
        -- Rows of a default partition would be in the way of a new one; it is not ours.
        and bounds.expression <> 'DEFAULT'
) as found
