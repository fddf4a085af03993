-- The partitions whose statistics are absent, or older than a tenth of their rows.
select relations.relname
from pg_inherits as inheritance
inner join pg_class as relations on inheritance.inhrelid = relations.oid
inner join pg_stat_user_tables as stats on relations.oid = stats.relid
where
    inheritance.inhparent = 'raw.events'::regclass
    and stats.n_mod_since_analyze > greatest(relations.reltuples, 0) * 0.1
order by relations.relname
