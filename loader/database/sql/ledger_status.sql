with visible as (
    select
        count(*) as loads,
        coalesce(sum(rows_read), 0)::bigint as rows_read,
        coalesce(sum(rows_loaded), 0)::bigint as rows_loaded,
        coalesce(sum(rows_rejected), 0)::bigint as rows_rejected,
        coalesce(sum(rows_duplicate), 0)::bigint as rows_duplicate,
        min(first_event_at) as first_event_at,
        max(last_event_at) as last_event_at
    from raw.loads
    where kind = 'load' and load_seq is not null and withdrawn_seq is null
),

whole_ledger as (
    select
        count(*) filter (where kind = 'withdrawal') as withdrawals,
        count(*) filter (where load_seq is null) as unpublished,
        max(published_at) as last_published_at
    from raw.loads
)

select
    load_counter.load_seq,
    visible.loads,
    whole_ledger.withdrawals,
    whole_ledger.unpublished,
    visible.rows_read,
    visible.rows_loaded,
    visible.rows_rejected,
    visible.rows_duplicate,
    pg_database_size(current_database()) as database_bytes,
    visible.first_event_at,
    visible.last_event_at,
    whole_ledger.last_published_at
from visible
cross join whole_ledger
cross join raw.load_counter
