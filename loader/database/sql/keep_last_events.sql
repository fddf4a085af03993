insert into raw.dropped_sources (source_id, last_event_at)
select
    sources.source_id,
    latest.event_time
from raw.sources
cross join lateral (
    select events.event_time
    from {partition} as events
    inner join raw.loads on events.load_id = loads.load_id
    where
        events.source_id = sources.source_id
        and loads.load_seq is not null
        and loads.withdrawn_seq is null
    order by events.event_time desc
    limit 1
) as latest
on conflict (source_id) do update
set last_event_at = greatest(dropped_sources.last_event_at, excluded.last_event_at)
