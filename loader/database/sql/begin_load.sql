-- The shared lock makes this load visible to whoever moves the retention, or the move to this load.
insert into raw.loads (origin, loader_version, options, retained_from)
select
    %(origin)s,
    %(version)s,
    %(options)s::jsonb,
    retention.retained_from
from raw.retention
for share
returning load_id
