select distinct namespaces.nspname
from pg_class as relations
inner join pg_namespace as namespaces on relations.relnamespace = namespaces.oid
where relations.relname = 'model_progress' and relations.relkind in ('r', 'p', 'v', 'm')
order by namespaces.nspname
