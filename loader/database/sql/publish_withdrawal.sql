with next_load as (
    update raw.load_counter set load_seq = load_seq + 1
    returning load_seq
),

withdrawn as (
    update raw.loads set withdrawn_seq = next_load.load_seq
    from next_load
    where loads.load_id = %(load_id)s
)

update raw.loads
set
    load_seq = next_load.load_seq,
    published_at = clock_timestamp()
from next_load
where loads.load_id = %(withdrawal_id)s
returning
    loads.load_id,
    loads.load_seq,
    loads.withdrawn_seq,
    loads.withdraws_load_id,
    loads.rows_read,
    loads.rows_loaded,
    loads.rows_rejected,
    loads.rows_duplicate,
    loads.kind,
    loads.origin,
    loads.first_event_at,
    loads.last_event_at,
    loads.started_at,
    loads.published_at
