-- A day more is kept than loads may write to: see docs/decisions/0010.
update raw.retention set retained_from = wanted.retained_from
from (
    select (
        date_trunc(partition_by, %(now)s::timestamptz at time zone 'UTC' - %(age)s::interval)
        + interval '1 day'
    ) at time zone 'UTC' as retained_from
    from raw.partitioning
) as wanted
where retention.retained_from is null or retention.retained_from < wanted.retained_from
