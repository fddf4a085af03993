insert into raw.event_types (event_type)
select unnest(%(names)s::text [])
on conflict do nothing
