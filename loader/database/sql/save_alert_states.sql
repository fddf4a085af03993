update raw.alert_states
set
    version = alert_states.version + 1,
    state = saved.state
from unnest(%(source_ids)s::int[], %(states)s::jsonb[]) as saved (source_id, state)
where alert_states.source_id = saved.source_id
