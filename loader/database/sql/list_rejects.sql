select
    loads.load_id,
    loads.origin,
    rejected_events.line_number,
    rejected_events.column_name,
    rejected_events.reason,
    rejected_events.raw_text,
    rejected_events.raw_bytes,
    rejected_events.is_cut,
    rejected_events.partition_number,
    rejected_events.message_offset
from raw.rejected_events
inner join raw.loads on rejected_events.load_id = loads.load_id
where
    loads.load_seq is not null
    and (%(load_id)s::bigint is null or loads.load_id = %(load_id)s)
order by
    loads.load_id desc,
    rejected_events.line_number asc,
    rejected_events.partition_number asc,
    rejected_events.message_offset asc
limit %(limit)s::bigint
