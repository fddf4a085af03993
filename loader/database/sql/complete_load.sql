update raw.loads
set
    rows_read = %(rows_read)s,
    rows_loaded = %(rows_loaded)s,
    rows_rejected = %(rows_rejected)s,
    rows_duplicate = %(rows_duplicate)s,
    fingerprint = %(fingerprint)s,
    options = options || jsonb_strip_nulls(jsonb_build_object('header', %(header)s::text)),
    first_event_at = %(first_event_at)s,
    last_event_at = %(last_event_at)s
where load_id = %(load_id)s and load_seq is null
