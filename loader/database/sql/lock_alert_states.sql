select
    source_id,
    version,
    state
from raw.alert_states
where source_id = any(%(source_ids)s)
order by source_id
for update
