insert into raw.loads (kind, withdraws_load_id, origin, loader_version)
values (
    'withdrawal', %(load_id)s, format('withdrawal of load %%s', %(load_id)s::bigint), %(version)s
)
returning
    load_id,
    load_seq,
    withdrawn_seq,
    withdraws_load_id,
    rows_read,
    rows_loaded,
    rows_rejected,
    rows_duplicate,
    kind,
    origin,
    first_event_at,
    last_event_at,
    started_at,
    published_at
