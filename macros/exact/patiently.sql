{% macro patiently(relations, attempt, excludes_readers=true) %}
    {#-
        PostgreSQL makes everybody wait behind a lock that excludes all others and is waited for,
        for as long as one reader keeps its transaction open. So a wait is cut off after a moment,
        what the attempt locked is given back, readers pass, and it is tried again. Each statement
        ends soon: while one runs dbt tells nothing, and a statement_timeout may be set.
    -#}
    {%- set began = modules.datetime.datetime.now() -%}
    {%- set told = namespace(until=2) -%}
    {%- for number in range(100000) -%}
        {%- call statement('attempt', auto_begin=false) -%}
            do $patiently$
            declare
                {#- Rarely after a while: each attempt makes readers wait. #}
                pause constant double precision := {{ 0.1 if number < 5 else 1 }};
                usual constant text := current_setting('lock_timeout');
            begin
                perform set_config('video_events.waits_for', '', false);
                perform set_config('lock_timeout', {{ dbt.string_literal(var('lock_moment')) }}, true);
                {{ attempt }}
                perform set_config('lock_timeout', usual, true);
            exception when lock_not_available or deadlock_detected then
                perform set_config('video_events.waits_for', ({{ _lock_holders(relations, excludes_readers) | indent(20) }}), false);
                perform pg_sleep(pause);
            end
            $patiently$
        {%- endcall -%}
        {%- set holders = run_query("select current_setting('video_events.waits_for')")[0][0] -%}
        {%- if not holders -%}
            {{ return('') }}
        {%- endif -%}
        {%- set waited = (modules.datetime.datetime.now() - began).total_seconds() -%}
        {%- set patience = run_query(
            "select extract(epoch from interval " ~ dbt.string_literal(var('lock_patience')) ~ ")::float"
        )[0][0] -%}
        {%- if waited >= patience -%}
            {%- do exceptions.raise_compiler_error(
                relations[0].identifier ~ " waited " ~ var('lock_patience') ~ " (var lock_patience) for " ~ holders
                ~ " and gives up; nothing was changed"
            ) -%}
        {%- elif waited >= told.until -%}
            {%- do log(
                relations[0].identifier ~ " waits for " ~ holders ~ "; others pass."
                ~ " It gives up after " ~ var('lock_patience'),
                info=true
            ) -%}
            {%- set told.until = waited + 30 -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}


{#- Query: who holds relations or views on them, as one text: pid, user, application, state, since when. -#}
{% macro _lock_holders(relations, excludes_readers) -%}
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
