select
    loads.kind,
    loads.load_seq,
    loads.withdrawn_seq,
    loads.first_event_at < retention.retained_from as is_too_old
from raw.loads
cross join raw.retention
where loads.load_id = %(load_id)s
for update of loads
for share of retention
