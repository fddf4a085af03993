-- Tables only: a view may call anybody's functions, which would run with our rights.
select namespaces.nspname
from pg_class as relations
inner join pg_namespace as namespaces on relations.relnamespace = namespaces.oid
where relations.relname = 'model_progress' and relations.relkind in ('r', 'p')
order by namespaces.nspname
