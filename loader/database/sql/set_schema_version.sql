insert into raw.schema_version (version, loader_version)
values (%(version)s, %(loader_version)s)
on conflict (is_only_row) do update
set
    version = excluded.version,
    loader_version = excluded.loader_version
where schema_version.version < excluded.version
