select
    kind,
    load_seq,
    withdrawn_seq
from raw.loads
where load_id = %(load_id)s
for update
