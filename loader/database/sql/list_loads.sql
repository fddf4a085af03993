select
    load_id,
    load_seq,
    withdrawn_seq,
    withdraws_load_id,
    rows_read,
    rows_loaded,
    rows_rejected,
    rows_duplicate,
    kind,
    origin,
    first_event_at,
    last_event_at,
    started_at,
    published_at
from raw.loads
order by load_id desc
limit %(limit)s::bigint
