{% macro lock_holders(relations, excludes_readers) -%}
    with recursive wanted (relation_id) as (
        select to_regclass(names.name)::oid
        from (values {% for relation in relations %}({{ dbt.string_literal(relation | string) }}){{ ', ' if not loop.last }}{% endfor %}) as names (name)
        union
        select rules.ev_class
        from wanted
        inner join pg_catalog.pg_depend as depends
            on depends.refclassid = 'pg_catalog.pg_class'::regclass and wanted.relation_id = depends.refobjid
        inner join pg_catalog.pg_rewrite as rules
            on depends.classid = 'pg_catalog.pg_rewrite'::regclass and depends.objid = rules.oid
    ),

    holders as (
        select
            locks.pid,
            string_agg(distinct locks.relation::regclass::text, ', ') as relation_names
        from pg_catalog.pg_locks as locks
        inner join wanted on locks.relation = wanted.relation_id
        where
            locks.database = (select oid from pg_catalog.pg_database where datname = current_database())
            and locks.granted
            and locks.pid is distinct from pg_backend_pid()
            {%- if not excludes_readers %}
            and locks.mode not in ('AccessShareLock', 'RowShareLock')
            {%- endif %}
        group by locks.pid
    )

    select
        coalesce(
            string_agg(
                case
                    when holders.pid is null then 'a prepared transaction'
                    else concat(
                        'pid ', holders.pid, ' (', concat_ws(
                            ', ',
                            coalesce(activity.usename::text, activity.backend_type),
                            nullif(activity.application_name, ''),
                            activity.state,
                            'transaction since ' || date_trunc('second', activity.xact_start),
                            'query since ' || date_trunc('second', activity.query_start)
                        ), ')'
                    )
                end || ' with ' || holders.relation_names,
                '; '
                order by activity.xact_start, holders.pid
            ),
            'somebody who has just left'
        )
    from holders
    left join pg_catalog.pg_stat_activity as activity on holders.pid = activity.pid
{%- endmacro %}
