select
    child.relname,
    wanted.suffix
from pg_inherits as inheritance
inner join pg_class as child on inheritance.inhrelid = child.oid
cross join unnest(%(suffixes)s::text []) with ordinality as wanted (suffix, place)
where
    inheritance.inhparent = 'raw.events'::regclass
    and child.relkind = 'r'
    and child.relnamespace = 'raw'::regnamespace
    and to_regclass(format('raw.%%I', child.relname || '_' || wanted.suffix)) is null
order by child.relname, wanted.place
