insert into raw.loads (origin, loader_version, options)
values (%(origin)s, %(version)s, %(options)s::jsonb)
returning load_id
