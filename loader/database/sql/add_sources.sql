insert into raw.sources (source_name)
select unnest(%(names)s::text [])
on conflict do nothing
