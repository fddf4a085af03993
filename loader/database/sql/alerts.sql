select
    rule_name,
    source_name,
    category,
    event_count,
    triggered_at
from {view}
where
    (%(since)s::timestamptz is null or triggered_at >= %(since)s)
    and (%(until)s::timestamptz is null or triggered_at < %(until)s)
order by triggered_at, rule_name, source_name
