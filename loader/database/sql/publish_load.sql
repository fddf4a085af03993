with next_load as (
    update raw.load_counter set load_seq = load_seq + 1
    returning load_seq
)

update raw.loads
set
    load_seq = next_load.load_seq,
    published_at = clock_timestamp()
from next_load
where loads.load_id = %(load_id)s and loads.load_seq is null
returning loads.load_seq
