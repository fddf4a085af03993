select load_id
from raw.loads
where load_id = %(load_id)s and load_seq is null
for update
