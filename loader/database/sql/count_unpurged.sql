select count(*) from raw.loads where withdrawn_seq is not null and purged_at is null
