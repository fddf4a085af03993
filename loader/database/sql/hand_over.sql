-- The statements that give a schema and what is in it to its owner. Indexes and the sequences of
-- identity columns follow their tables; what an extension brought stays with it.
with target as (
    select
        namespaces.oid as schema_oid,
        namespaces.nspowner,
        roles.oid as owner_oid,
        roles.rolname
    from pg_namespace as namespaces
    cross join pg_roles as roles
    where namespaces.nspname = %(schema)s and roles.rolname = %(owner)s
),

statements as (
    select
        1 as place,
        format('alter schema %%I owner to %%I', %(schema)s::text, target.rolname) as statement
    from target
    where target.nspowner <> target.owner_oid

    union all

    select
        2 as place,
        format('alter table %%s owner to %%I', relations.oid::regclass, target.rolname)
    from target
    inner join pg_class as relations on target.schema_oid = relations.relnamespace
    where
        relations.relkind in ('r', 'p', 'v', 'm', 'f')
        and relations.relowner <> target.owner_oid
        and relations.oid not in (select objid from pg_depend where deptype = 'e')

    union all

    select
        3 as place,
        format('alter routine %%s owner to %%I', routines.oid::regprocedure, target.rolname)
    from target
    inner join pg_proc as routines on target.schema_oid = routines.pronamespace
    where
        routines.proowner <> target.owner_oid
        and routines.oid not in (select objid from pg_depend where deptype = 'e')
)

select statement from statements
order by place, statement
