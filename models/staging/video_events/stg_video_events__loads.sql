-- No CTEs in the views that models build on: PostgreSQL merges a view into the query that reads
-- it only when it has none, and a look-up through this one must stay an index scan.
select
    loads.load_id,
    loads.load_seq,
    loads.withdrawn_seq,
    loads.withdraws_load_id,
    loads.rows_read,
    loads.rows_loaded,
    loads.rows_rejected,
    loads.rows_duplicate,
    loads.rows_read - loads.rows_loaded - loads.rows_rejected - loads.rows_duplicate
        as rows_left_out,
    loads.kind,
    loads.origin,
    loads.first_event_at,
    loads.last_event_at,
    loads.published_at
from {{ source('raw', 'loads') }} as loads
where loads.load_seq is not null
