-- Tables of this very shape, of owners who may read the raw events: nobody else builds models from
-- them, so what others call by this name holds nothing back.
select
    namespaces.nspname as schema_name,
    relations.oid
from pg_class as relations
inner join pg_namespace as namespaces on relations.relnamespace = namespaces.oid
where
    relations.relname = 'model_progress'
    and relations.relkind = 'r'
    and relations.relpersistence <> 't'
    and has_table_privilege(relations.relowner, 'raw.load_counter', 'select')
    and (
        select count(*)
        from pg_attribute as columns
        where
            columns.attrelid = relations.oid
            and not columns.attisdropped
            and columns.attgenerated = ''
            and (columns.attname, columns.atttypid) in (
                ('model_name', 'pg_catalog.text'::regtype),
                ('load_seq', 'pg_catalog.int8'::regtype),
                ('definition', 'pg_catalog.jsonb'::regtype),
                ('updated_at', 'pg_catalog.timestamptz'::regtype)
            )
    ) = 4
order by namespaces.nspname
