select child.relname
from pg_inherits as inheritance
inner join pg_class as child on inheritance.inhrelid = child.oid
where inheritance.inhparent = 'raw.events'::regclass
