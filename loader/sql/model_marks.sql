select
    model_name,
    coalesce(load_seq, 0) as load_seq,
    coalesce((definition #>> '{{activity_gap, gap}}')::interval > interval '1 day', false)
        as has_long_gap
from {progress}
order by load_seq, model_name
