select load_id
from raw.loads
where withdrawn_seq <= %(load_seq)s::bigint and purged_at is null
order by load_id
