select
    event_type,
    event_type_id
from raw.event_types
where event_type = any(%(names)s)
