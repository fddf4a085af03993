select
    {schema} || '.' || progress.model_name as model,
    coalesce(progress.load_seq, 0) as load_seq,
    load_counter.load_seq - coalesce(progress.load_seq, 0) as loads_behind,
    progress.updated_at
from {progress} as progress
cross join raw.load_counter
order by progress.model_name
