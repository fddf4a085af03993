select
    relname,
    reltuples::bigint
from pg_class
where relnamespace = 'raw'::regnamespace and relname = any(%(names)s)
