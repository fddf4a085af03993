-- Loads that began before the retention moved, and may still bring older rows; and the position in
-- the ledger of the last one that has such rows, or takes them away.
select
    min(loads.load_id) filter (
        where
            loads.load_seq is null
            and loads.kind = 'load'
            and (loads.retained_from = retention.retained_from) is not true
    ) as unfinished_load_id,
    max(greatest(loads.load_seq, loads.withdrawn_seq)) filter (
        where loads.load_seq is not null and loads.first_event_at < retention.retained_from
    ) as load_seq
from raw.retention
left join raw.loads on true
