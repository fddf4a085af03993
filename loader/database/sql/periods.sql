select
    category,
    event_count,
    started_at,
    ended_at
from {view}
where
    (%(since)s::timestamptz is null or ended_at >= %(since)s)
    and (%(until)s::timestamptz is null or started_at < %(until)s)
order by category, started_at
