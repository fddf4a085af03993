select (
    select coalesce(sum(loads.rows_rejected), 0)
    from raw.loads
    where
        loads.load_seq is not null
        and (%(load_id)s::bigint is null or loads.load_id = %(load_id)s)
) - (
    select count(*)
    from raw.rejected_events
    inner join raw.loads on rejected_events.load_id = loads.load_id
    where
        loads.load_seq is not null
        and (%(load_id)s::bigint is null or loads.load_id = %(load_id)s)
)
