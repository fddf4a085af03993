-- The lock waits for a transaction that is still publishing the load, or withdrawing it.
select load_seq
from raw.loads
where load_id = %(load_id)s
for update
