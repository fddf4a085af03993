-- From the catalog alone: to_regclass fails for whoever may not look into the schema.
select coalesce(obj_description(namespaces.oid, 'pg_namespace'), relations.relname)
from pg_namespace as namespaces
left join pg_class as relations
    on namespaces.oid = relations.relnamespace and relations.relname = 'loads'
where namespaces.nspname = 'raw'
