-- What a database has beside the raw schema once it is distributed: local to the coordinator, as the ledger.

-- One row, and no table where events are not distributed. Whoever wants to know asks for it, and not Citus.
create table if not exists raw.cluster (
    distributed_at timestamptz not null default clock_timestamp(),
    loader_version text not null,
    is_only_row boolean primary key default true check (is_only_row)
);

-- Shards move to other nodes by logical replication, which has to find the rows that go meanwhile.
do $do$
declare
    partition regclass;
begin
    for partition in
        select relations.oid
        from pg_inherits
        inner join pg_class as relations on pg_inherits.inhrelid = relations.oid
        where pg_inherits.inhparent = 'raw.event_chunks'::regclass and relations.relreplident <> 'f'
    loop
        execute format('alter table %s replica identity full', partition);
    end loop;
end
$do$;

-- A transaction ends at one node after the other, and where a node goes away in between, only when Citus makes
-- up for it; its client was told long before that it is committed. So before something is published, and before
-- a model reads, what was pending when this began must be done. See docs/decisions/0056.
create or replace function raw.wait_for_commits(patience interval default '1 minute') returns void
language plpgsql as $function$
declare
    ends_at constant timestamptz := clock_timestamp() + patience;
    now_pending text [];
    pending text [];
    silent text;
begin
    loop
        select
            coalesce(array_agg(gid) filter (where gid <> ''), '{}'),
            string_agg(distinct node, ', ') filter (where gid is null)
        into now_pending, silent
        from (
            select
                format('%s:%s', nodename, nodeport) as node,
                unnest(case when success then array_append(string_to_array(result, ','), '') else array[null] end) as gid
            from run_command_on_workers($command$
                select coalesce(string_agg(gid, ','), '') from pg_prepared_xacts
                where database = current_database() and gid like 'citus\_0\_%'
            $command$)

            union all

            select 'coordinator', gid from pg_prepared_xacts
            where database = current_database() and gid like 'citus\_0\_%'
        ) as nodes;
        if silent is null then
            pending := case
                when pending is null then now_pending
                else array(select unnest(pending) intersect select unnest(now_pending))
            end;
            if pending = '{}' then
                return;
            end if;
        end if;
        if clock_timestamp() >= ends_at then
            raise exception using
                errcode = 'connection_failure',
                message = coalesce(
                    format('a node of the cluster does not answer: %s', silent),
                    format('a node of the cluster has not committed yet: %s', array_to_string(pending, ', '))
                );
        end if;
        if has_function_privilege('recover_prepared_transactions()', 'execute') then
            -- In a transaction of its own: its lock keeps others from the same until it ends.
            perform success from run_command_on_coordinator('select recover_prepared_transactions()');
        end if;
        perform pg_sleep(0.05);
    end loop;
end
$function$;
