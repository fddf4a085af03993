select
    (extract(epoch from events.event_time) * 1000000)::bigint as event_time,
    events.source_id,
    events.event_type_id
from raw.events
inner join raw.event_types on events.event_type_id = event_types.event_type_id
where
    events.load_id = %(load_id)s
    and events.source_id = any(%(source_ids)s)
    and events.event_time >= to_timestamp(0) + %(first)s::bigint * interval '1 microsecond'
    and events.event_time <= to_timestamp(0) + %(last)s::bigint * interval '1 microsecond'
order by events.source_id, events.event_time, event_types.event_type collate "C"
