select
    source_name,
    source_id
from raw.sources
where source_name = any(%(names)s)
