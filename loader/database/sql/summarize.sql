select brin_summarize_new_values(indexes.oid)
from pg_class as indexes
where
    indexes.relnamespace = 'raw'::regnamespace
    and indexes.relkind = 'i'
    and indexes.relname in (select name || '_' || %(suffix)s from unnest(%(names)s::text []) as name)
