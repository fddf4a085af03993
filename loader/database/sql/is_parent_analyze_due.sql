-- -1 means never analyzed.
select
    parent.reltuples <= 0
    or (
        select sum(greatest(child.reltuples, 0))
        from pg_inherits as inheritance
        inner join pg_class as child on inheritance.inhrelid = child.oid
        where inheritance.inhparent = parent.oid
    ) > parent.reltuples * 1.2
from pg_class as parent
where parent.oid = 'raw.events'::regclass
