-- The fixed statements of the loader, each behind a line with its name; see queries.py. {columns} are
-- the fields of the dataclass that a row becomes.


-- ==== The ledger

-- name: begin_load
-- The shared lock makes this load visible to whoever moves the retention, or the move to this load.
insert into raw.loads (schema_version, origin, loader_version, options, retained_from)
select
    %(schema_version)s,
    %(origin)s,
    %(version)s,
    %(options)s::jsonb,
    retention.retained_from
from raw.retention
for share
returning load_id

-- name: complete_load
update raw.loads
set
    rows_read = %(rows_read)s,
    rows_loaded = %(rows_loaded)s,
    rows_rejected = %(rows_rejected)s,
    rows_duplicate = %(rows_duplicate)s,
    rows_left_out = %(rows_left_out)s,
    fingerprint = %(fingerprint)s,
    options = options || jsonb_strip_nulls(jsonb_build_object('header', %(header)s::text)),
    first_event_at = %(first_event_at)s,
    last_event_at = %(last_event_at)s
where load_id = %(load_id)s and load_seq is null

-- name: publish
-- A load, or a withdrawal and with it that its load is withdrawn.
with next_load as (
    update raw.load_counter set load_seq = load_seq + 1
    returning load_seq as next_seq
),

withdrawn as (
    update raw.loads set withdrawn_seq = next_load.next_seq
    from next_load
    where
        loads.load_id = (
            select withdrawals.withdraws_load_id
            from raw.loads as withdrawals
            where withdrawals.load_id = %(load_id)s
        )
)

update raw.loads
set
    load_seq = next_load.next_seq,
    published_at = clock_timestamp()
from next_load
where loads.load_id = %(load_id)s and loads.load_seq is null
returning loads.load_seq

-- name: find_visible_load
select {columns}
from raw.loads
where fingerprint = %(fingerprint)s and load_seq is not null and withdrawn_seq is null

-- name: lock_load_seq
-- The lock waits for a transaction that is still publishing the load, or withdrawing it.
select load_seq
from raw.loads
where load_id = %(load_id)s
for update

-- name: lock_load
select
    loads.kind,
    loads.load_seq,
    loads.withdrawn_seq,
    loads.first_event_at < retention.retained_from as is_too_old
from raw.loads
cross join raw.retention
where loads.load_id = %(load_id)s
for update of loads
for share of retention

-- name: begin_withdrawal
insert into raw.loads (schema_version, kind, withdraws_load_id, origin, loader_version)
values (
    %(schema_version)s,
    'withdrawal',
    %(load_id)s,
    format('withdrawal of load %%s', %(load_id)s::bigint),
    %(version)s
)
returning load_id

-- name: list_loads
select {columns}
from raw.loads
order by load_id desc
limit %(limit)s::bigint

-- name: ledger_status
with visible as (
    select
        count(*) as loads,
        coalesce(sum(rows_read), 0)::bigint as rows_read,
        coalesce(sum(rows_loaded), 0)::bigint as rows_loaded,
        coalesce(sum(rows_rejected), 0)::bigint as rows_rejected,
        coalesce(sum(rows_duplicate), 0)::bigint as rows_duplicate,
        coalesce(sum(rows_left_out), 0)::bigint as rows_left_out,
        min(first_event_at) as first_event_at,
        max(last_event_at) as last_event_at
    from raw.loads
    where kind = 'load' and load_seq is not null and withdrawn_seq is null
),

whole_ledger as (
    select
        count(*) filter (where kind = 'withdrawal') as withdrawals,
        count(*) filter (where load_seq is null) as unpublished,
        max(published_at) as last_published_at
    from raw.loads
)

select {columns}
from visible
cross join whole_ledger
cross join raw.load_counter
cross join (select pg_database_size(current_database()) as database_bytes) as size


-- ==== What does not fit together

-- name: ledger_gaps
-- Every position up to the counter is that of one row.
select
    load_counter.load_seq as counted,
    coalesce(max(loads.load_seq), 0) as last,
    count(loads.load_seq) as found
from raw.load_counter
left join raw.loads on loads.load_seq is not null
group by load_counter.load_seq

-- name: missed_rows
-- Models that still need rows which maintenance took away, or brought together, because all models had
-- taken note of them.
select
    marks.model,
    min(loads.load_id) as load_id
from unnest(%(models)s::text [], %(marks)s::bigint []) as marks (model, load_seq)
cross join raw.retention
cross join raw.partitioning
inner join raw.loads
    on
        marks.load_seq > 0
        and (
            (
                loads.purged_at is not null
                and loads.load_seq <= marks.load_seq
                and loads.withdrawn_seq > marks.load_seq
            )
            or (
                loads.first_event_at < retention.dropped_before
                and (loads.load_seq > marks.load_seq or loads.withdrawn_seq > marks.load_seq)
            )
            or (loads.load_seq > marks.load_seq and loads.load_seq <= partitioning.together_seq)
        )
group by marks.model
order by marks.model

-- name: used_up_numbers
-- Identity columns that would give a number that is taken, as after a restore without setval.
with numbers (sequence_name, taken) as (
    values
    (pg_get_serial_sequence('raw.loads', 'load_id'), (select max(load_id) from raw.loads)),
    (pg_get_serial_sequence('raw.sources', 'source_id'), (select max(source_id) from raw.sources)),
    (
        pg_get_serial_sequence('raw.event_types', 'event_type_id'),
        (select max(event_type_id) from raw.event_types)
    ),
    (
        pg_get_serial_sequence('raw.early_alerts', 'early_alert_id'),
        (select max(early_alert_id) from raw.early_alerts)
    )
)

select
    sequence_name,
    taken
from numbers
where
    has_sequence_privilege(sequence_name, 'select')
    and coalesce(pg_sequence_last_value(sequence_name::regclass), 0) < taken

-- name: offsets_behind
-- Offsets before those up to which the last loads have read; moved in their transactions.
select
    offsets.consumer_group,
    offsets.topic,
    offsets.partition_number,
    offsets.next_offset,
    max((moves.offset_range ->> 1)::bigint) as loaded_until
from raw.load_counter
inner join raw.loads
    on loads.load_seq > load_counter.load_seq - 1000 and loads.options ? 'kafka'
cross join lateral jsonb_each(loads.options #> '{kafka,offsets}') as moves (
    partition_number, offset_range
)
inner join raw.kafka_offsets as offsets
    on
        loads.options #>> '{kafka,group}' = offsets.consumer_group
        and loads.options #>> '{kafka,topic}' = offsets.topic
        and loads.options #>> '{kafka,identity}' = offsets.topic_identity
        and moves.partition_number = offsets.partition_number::text
group by
    offsets.consumer_group, offsets.topic, offsets.partition_number, offsets.next_offset
having max((moves.offset_range ->> 1)::bigint) > offsets.next_offset
order by offsets.consumer_group, offsets.topic, offsets.partition_number

-- name: lock_room
-- Locks that a query of all events takes, and for how many the server surely has room.
select
    count(distinct partitions.inhrelid) as partitions,
    count(distinct partitions.inhrelid) + count(indexes.indexrelid) as needed,
    current_setting('max_locks_per_transaction')::bigint
    * current_setting('max_connections')::bigint as room,
    current_setting('max_connections')::bigint as connections
from pg_inherits as partitions
left join pg_index as indexes on partitions.inhrelid = indexes.indrelid
where partitions.inhparent = {parent}


-- ==== Names and their numbers

-- name: find_names
select {name}, {number} from {table} where {name} = any(%(names)s)

-- name: add_names
insert into {table} ({name})
select unnest(%(names)s::text [])
on conflict ({name}) do nothing

-- name: event_type_room
-- The names there are, and how many more can be numbered: a number once taken is never given back.
select
    array(select event_types.event_type from raw.event_types) as names,
    32767 - coalesce(
        pg_sequence_last_value(pg_get_serial_sequence('raw.event_types', 'event_type_id')::regclass), 0
    ) as room


-- ==== Rejected rows

-- name: list_rejects
select {columns}
from raw.rejected_events
inner join raw.loads using (load_id)
where
    loads.load_seq is not null
    and (%(load_id)s::bigint is null or load_id = %(load_id)s)
order by
    load_id desc,
    line_number asc,
    partition_number asc,
    message_offset asc
limit %(limit)s::bigint

-- name: count_unkept_rejects
select coalesce(sum(loads.rows_rejected - kept.count), 0)::bigint
from raw.loads
cross join lateral (
    select count(*) from raw.rejected_events where rejected_events.load_id = loads.load_id
) as kept
where
    loads.load_seq is not null
    and loads.rows_rejected > 0
    and (%(load_id)s::bigint is null or loads.load_id = %(load_id)s)


-- ==== Duplicates

-- name: staged_bounds
select
    coalesce(sum(event_count), 0),
    min(first_event_at),
    max(last_event_at)
from {staging}

-- name: chunks_of_placed
-- A part of statements: what is in "placed", of any loads, sources and days, becomes chunks. One of several
-- loads is visible as a whole or not at all, as all of its loads are: it stands in the ledger with the last.
insert into {chunks} (
    first_event_at,
    last_event_at,
    load_id,
    source_id,
    event_count,
    event_times,
    event_type_ids,
    attributes,
    load_ids
)
select
    min(event_time) as first_event_at,
    max(event_time) as last_event_at,
    {load_id} as load_id,
    source_id,
    count(*) as event_count,
    array_agg(event_time order by position_in_day) as event_times,
    array_agg(event_type_id order by position_in_day) as event_type_ids,
    case when count(attributes) > 0 then array_agg(attributes order by position_in_day) end as attributes,
    {load_ids} as load_ids
from placed
group by {apart}, source_id, day, (position_in_day - 1) / {most_events}
order by source_id, day
returning event_count, first_event_at, last_event_at

-- name: visible_until
select load_id from raw.loads where load_seq <= {load_seq} and withdrawn_seq is null

-- name: insert_new_events
-- Staged chunks are numbered by how many events of the load came before: of equal ones the first stays.
with visible as {materialized} (
    select
        chunks.source_id,
        unnest(chunks.event_times) as event_time,
        unnest(chunks.event_type_ids) as event_type_id
    from (
        select
            source_id,
            date_bin('1 day', first_event_at, '2000-01-01 00:00:00+00') as day,
            min(first_event_at) as first_event_at,
            max(last_event_at) as last_event_at
        from {staging}
        group by source_id, day
    ) as days
    cross join lateral (
        select chunks.*
        from raw.event_chunks as chunks
        where
            chunks.source_id = days.source_id
            and chunks.first_event_at >= days.day
            and chunks.first_event_at <= days.last_event_at
            and chunks.last_event_at >= days.first_event_at
            and chunks.first_event_at >= date_bin('1 day', {first}, '2000-01-01 00:00:00+00')
            and chunks.first_event_at <= {last}
        {fence}
    ) as chunks
    where {is_visible}
),

staged as (
    select
        chunks.load_id,
        chunks.source_id,
        chunks.row_number,
        events.place,
        events.event_time,
        events.event_type_id,
        events.attributes
    from {staging} as chunks
    cross join lateral unnest(
        chunks.event_times, chunks.event_type_ids, chunks.attributes
    ) with ordinality as events (event_time, event_type_id, attributes, place)
),

new_events as (
    select distinct on (staged.source_id, staged.event_time, staged.event_type_id)
        staged.*,
        date_bin('1 day', staged.event_time, '2000-01-01 00:00:00+00') as day
    from staged
    where not exists (
        select 1
        from visible
        where
            visible.source_id = staged.source_id
            and visible.event_time = staged.event_time
            and visible.event_type_id = staged.event_type_id
    )
    order by
        staged.source_id,
        staged.event_time,
        staged.event_type_id,
        staged.row_number,
        staged.place
),

placed as (
    select
        new_events.*,
        row_number() over in_order as position_in_day
    from new_events
    window in_order as (partition by source_id, day order by event_time, event_type_id)
)

{insert_chunks}


-- ==== Partitions and their statistics

-- name: partition_bounds
-- A part of statements. A default partition is not ours: its rows would be in the way of a new one.
select
    child.relname as partition_name,
    substring(bounds.expression from $$FROM \('([^']+)'\)$$)::timestamptz as starts_at,
    substring(bounds.expression from $$ TO \('([^']+)'\)$$)::timestamptz as ends_at
from pg_inherits as inheritance
inner join pg_class as child on inheritance.inhrelid = child.oid
cross join lateral (select pg_get_expr(child.relpartbound, child.oid) as expression) as bounds
where
    inheritance.inhparent = 'raw.event_chunks'::regclass
    and bounds.expression <> 'DEFAULT'

-- name: partitions
-- Days since 1970; null for a bound that there is not.
select
    partition_name,
    floor(extract(epoch from starts_at) / 86400)::int as first_day,
    ceil(extract(epoch from ends_at) / 86400)::int as end_day
from ({partition_bounds}) as partitions

-- name: delete_events
with deleted as (
    delete from {partition} where load_id = %s
    returning event_count
)

select coalesce(sum(event_count), 0)::bigint from deleted

-- name: partitions_grown
-- By a tenth since they were analyzed, by their size on disk: how many chunks a load makes of its rows
-- is not known. -1 means never analyzed.
select {table_name}
from pg_class as relations
where
    relations.relnamespace = 'raw'::regnamespace
    and {table_name} = any({names})
    and (
        relations.reltuples < 0
        or pg_relation_size(relations.oid) > relations.relpages * 1.1 * current_setting('block_size')::int
    )
order by {table_name}

-- name: mostly_gone
-- Partitions more than half of whose rows are dead, and few enough left to be written anew in a moment.
select {table_name}
from pg_inherits as inheritance
inner join pg_class as relations on inheritance.inhrelid = relations.oid
inner join pg_stat_user_tables as stats on relations.oid = stats.relid
where
    inheritance.inhparent = {parent}
    and pg_has_role(relations.relowner, 'usage')
    and stats.n_dead_tup > greatest(stats.n_live_tup, 500)
    and pg_total_relation_size(relations.oid) < 64 * 1024 * 1024
order by {table_name}

-- name: bloated_indexes
-- Those of more than a megabyte that take twice what their entries would, by the statistics, which are not
-- old: with 12 bytes beside the columns, of fixed width, and a tenth of each page free. Equal entries share
-- theirs, and need less.
select
    indexes.relname,
    sizes.bytes,
    sizes.needed
from pg_index as found
inner join pg_class as indexes on found.indexrelid = indexes.oid
inner join pg_class as relations on found.indrelid = relations.oid
inner join pg_stat_user_tables as stats on relations.oid = stats.relid
cross join lateral (
    select
        pg_relation_size(indexes.oid) as bytes,
        (indexes.reltuples * (12 + sum((columns.attlen + 7) / 8 * 8)) / 0.9)::bigint as needed
    from pg_attribute as columns
    where columns.attrelid = indexes.oid
    having min(columns.attlen) > 0
) as sizes
where
    relations.relnamespace = 'raw'::regnamespace
    and indexes.relkind = 'i'
    and found.indisvalid
    and relations.reltuples >= 0
    and stats.n_mod_since_analyze <= relations.reltuples * 0.1 + 1000
    and sizes.bytes > greatest(sizes.needed * 2, 1024 * 1024)
    and pg_has_role(relations.relowner, 'usage')
order by indexes.relname

-- name: half_built_indexes
-- What a REINDEX CONCURRENTLY leaves that is killed, or gives up.
select indexes.relname
from pg_index as found
inner join pg_class as indexes on found.indexrelid = indexes.oid
where
    not found.indisvalid
    and indexes.relkind = 'i'
    and indexes.relname ~ '_cc(new|old)[0-9]*$'
    and indexes.relnamespace = 'raw'::regnamespace
    and pg_has_role(indexes.relowner, 'usage')

-- name: analyze_due
-- The partitions whose statistics are absent, or older than a tenth of their rows.
select {table_name}
from pg_inherits as inheritance
inner join pg_class as relations on inheritance.inhrelid = relations.oid
inner join pg_stat_user_tables as stats on relations.oid = stats.relid
where
    inheritance.inhparent = {parent}
    and stats.n_mod_since_analyze > greatest(relations.reltuples, 0) * 0.1
order by {table_name}

-- name: is_parent_analyze_due
-- -1 means never analyzed.
select
    parent.reltuples < 0
    or (
        select sum(greatest(child.reltuples, 0))
        from pg_inherits as inheritance
        inner join pg_class as child on inheritance.inhrelid = child.oid
        where inheritance.inhparent = parent.oid
    ) > parent.reltuples * 1.2
from pg_class as parent
where parent.oid = {parent}

-- name: is_ledger_analyze_due
-- Autovacuum leaves a ledger of fewer than fifty loads alone; without statistics PostgreSQL takes it that hardly
-- any load is visible, and reads all events of a full refresh with one process.
select ledger.reltuples <= 0 or counter.load_seq > ledger.reltuples * 1.2
from pg_class as ledger
cross join raw.load_counter as counter
where ledger.oid = 'raw.loads'::regclass


-- ==== Chunks of several loads, see docs/decisions/0046

-- name: partitions_to_bring_together
-- Those that loads may have written to which models have taken note of since the last time.
select partition_name::text
from ({partition_bounds}) as partitions
where exists (
    select 1
    from raw.loads
    cross join raw.partitioning
    where
        loads.load_seq > partitioning.together_until
        and loads.load_seq <= %(load_seq)s
        and loads.first_event_at < coalesce(partitions.ends_at, 'infinity')
        and loads.last_event_at >= coalesce(partitions.starts_at, '-infinity')
)
order by partition_name

-- name: bring_together
delete from {partition} as chunks using (
    select
        source_id,
        date_bin('1 day', first_event_at, '2000-01-01 00:00:00+00') as day
    from {partition} as chunks
    where event_count <= {few_events} and {is_known}
    group by source_id, day
    having count(*) > 1
) as days
where
    chunks.source_id = days.source_id
    and date_bin('1 day', chunks.first_event_at, '2000-01-01 00:00:00+00') = days.day
    and chunks.event_count <= {few_events}
    and {is_known}
returning chunks.*

-- name: take_apart
delete from raw.event_chunks as chunks
where
    chunks.load_ids @> array[{load_id}]::bigint []
    and chunks.first_event_at >= date_bin('1 day', {first}, '2000-01-01 00:00:00+00')
    and chunks.first_event_at <= {last}
returning chunks.*

-- name: make_chunks_anew
with gone as (
    {gone}
),

events as (
    select
        source_id,
        date_bin('1 day', first_event_at, '2000-01-01 00:00:00+00') as day,
        unnest(event_times) as event_time,
        unnest(event_type_ids) as event_type_id,
        unnest(attributes) as attributes,
        unnest(coalesce(load_ids, array_fill(load_id, array[event_count]))) as load_id
    from gone
),

placed as (
    select
        events.*,
        loads.load_seq,
        events.load_id = {load_id} as is_apart,
        row_number() over (
            partition by events.source_id, events.day, events.load_id = {load_id}
            order by events.event_time, events.event_type_id
        ) as position_in_day
    from events
    inner join raw.loads on events.load_id = loads.load_id
),

inserted as (
    {insert_chunks}
)

select
    (select count(*) from gone),
    (select count(*) from inserted),
    (select coalesce(sum(event_count), 0) from gone) = (select coalesce(sum(event_count), 0) from inserted)


-- ==== Withdrawn rows, and what is older than what is kept

-- name: purgeable_loads
select load_id
from raw.loads
where withdrawn_seq <= %(load_seq)s::bigint and purged_at is null
order by load_id

-- name: loads_before_retention
-- Loads that began before the retention moved, and may still bring older rows; and the position in
-- the ledger of the last one that has such rows, or takes them away.
select
    min(loads.load_id) filter (
        where
            loads.load_seq is null
            and loads.kind = 'load'
            and (loads.retained_from = retention.retained_from) is not true
    ) as unfinished_load_id,
    max(greatest(loads.load_seq, loads.withdrawn_seq)) filter (
        where loads.load_seq is not null and loads.first_event_at < retention.retained_from
    ) as load_seq
from raw.retention
left join raw.loads on true

-- name: move_retention
-- A day more is kept than loads may write to: see docs/decisions/0010.
update raw.retention set retained_from = wanted.retained_from
from (
    select (
        date_trunc(partition_by, %(now)s::timestamptz at time zone 'UTC' - %(age)s::interval)
        + interval '1 day'
    ) at time zone 'UTC' as retained_from
    from raw.partitioning
) as wanted
where retention.retained_from is null or retention.retained_from < wanted.retained_from

-- name: keep_last_events
insert into raw.dropped_sources (source_id, last_event_at)
select
    chunks.source_id,
    max(chunks.last_event_at) as last_event_at
from {partition} as chunks
inner join raw.loads on chunks.load_id = loads.load_id
where
    loads.load_seq is not null
    and loads.withdrawn_seq is null
group by chunks.source_id
on conflict (source_id) do update
set last_event_at = greatest(dropped_sources.last_event_at, excluded.last_event_at)

-- name: droppable_partitions
-- The partitions that end before a bound that is at least a day before retained_from, and in the
-- middle of no partition: one that is longer than the others is dropped, or kept, as a whole.
-- Oldest first, each with the instant before which nothing is left once it is gone.
with partitions as (
    {partition_bounds}
),

wanted as (
    select (retained_from at time zone 'UTC' - interval '1 day') at time zone 'UTC' as dropped_before
    from raw.retention
),

bound as (
    select coalesce(min(partitions.starts_at), min(wanted.dropped_before)) as dropped_before
    from wanted
    left join partitions
        on
            wanted.dropped_before > partitions.starts_at
            and wanted.dropped_before < partitions.ends_at
)

select
    partitions.partition_name,
    case
        when lead(partitions.ends_at) over (order by partitions.ends_at) is null
            then bound.dropped_before
        else partitions.ends_at
    end as dropped_before
from bound
inner join partitions on bound.dropped_before >= partitions.ends_at
order by partitions.ends_at

-- name: forget_early_alerts
delete from raw.early_alerts
where passed_on_at < %(now)s - %(age)s::interval


-- ==== Models and their marks

-- name: progress_schemas
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


-- ==== Early alerts

-- name: add_alert_states
insert into raw.alert_states (source_id)
select source_id from unnest(%(source_ids)s::int[]) as sources (source_id)
order by source_id
on conflict do nothing

-- name: alert_states
select
    source_id,
    version,
    state
from raw.alert_states
where source_id = any(%(source_ids)s)
order by source_id
{lock}

-- name: all_alert_states
-- Of sources that have a name to be told by.
select
    states.source_id,
    states.state
from raw.alert_states as states
inner join raw.sources on states.source_id = sources.source_id

-- name: add_early_alerts
insert into raw.early_alerts (triggered_at, source_id, rule_name, category, started_at)
select
    to_timestamp(0) + found.triggered_at * interval '1 microsecond',
    found.source_id,
    found.rule_name,
    found.category,
    to_timestamp(0) + found.started_at * interval '1 microsecond'
from
    unnest(%s::bigint[], %s::int[], %s::text[], %s::text[], %s::bigint[])
    as found (triggered_at, source_id, rule_name, category, started_at)
returning early_alert_id

-- name: save_alert_states
update raw.alert_states
set
    version = alert_states.version + 1,
    state = saved.state
from unnest(%(source_ids)s::int[], %(states)s::jsonb[]) as saved (source_id, state)
where alert_states.source_id = saved.source_id

-- name: find_early_alerts
select
    alerts.early_alert_id,
    alerts.rule_name,
    sources.source_name,
    alerts.category,
    alerts.started_at,
    alerts.triggered_at
from raw.early_alerts as alerts
inner join raw.sources on alerts.source_id = sources.source_id
left join raw.loads on alerts.load_id = loads.load_id
where
    alerts.passed_on_at is null
    and (alerts.load_id is null or loads.load_seq is not null)
    and (
        alerts.load_id = any(%(load_ids)s::bigint[])
        or alerts.early_alert_id = any(%(alert_ids)s::bigint[])
        or case when alerts.load_id is null then alerts.created_at else loads.published_at end
        < clock_timestamp() - %(forgotten_after)s::interval
    )
order by alerts.triggered_at, alerts.rule_name collate "C", sources.source_name collate "C"
limit %(limit)s

-- name: remove_early_alerts
delete from raw.early_alerts
where load_id = %(load_id)s and source_id = any(%(source_ids)s::int[])

-- name: events_of_load
select
    (extract(epoch from events.event_time) * 1000000)::bigint as event_time,
    events.source_id,
    events.event_type_id
from raw.events
inner join raw.event_types on events.event_type_id = event_types.event_type_id
where
    events.load_id = %(load_id)s
    and events.source_id = any(%(source_ids)s)
    -- Leaves out partitions: a chunk begins less than a day before any of its events.
    and events.chunk_started_at
    > to_timestamp(0) + (%(first)s::bigint - 86400000000) * interval '1 microsecond'
    and events.chunk_started_at <= to_timestamp(0) + %(last)s::bigint * interval '1 microsecond'
    and events.event_time >= to_timestamp(0) + %(first)s::bigint * interval '1 microsecond'
    and events.event_time <= to_timestamp(0) + %(last)s::bigint * interval '1 microsecond'
order by events.source_id, events.event_time, event_types.event_type collate "C"


-- ==== Offsets of topics

-- name: kafka_offsets
select
    partition_number,
    next_offset,
    topic_identity
from raw.kafka_offsets
where consumer_group = %(group)s and topic = %(topic)s

-- name: add_kafka_offset
insert into raw.kafka_offsets
(consumer_group, topic, topic_identity, partition_number, next_offset)
values (%(group)s, %(topic)s, %(identity)s, %(partition)s, %(new)s)
on conflict do nothing

-- name: move_kafka_offset
update raw.kafka_offsets
set next_offset = %(new)s
where
    consumer_group = %(group)s
    and topic = %(topic)s
    and partition_number = %(partition)s
    and next_offset = %(old)s
    and topic_identity = %(identity)s

-- name: note_kafka_deaths
-- What a crashed load was about to load of a topic; nothing where it was no load of one. Deaths add up
-- as long as they begin in what died before.
insert into raw.kafka_deaths as known (
    consumer_group, topic, partition_number, first_offset, end_offset, deaths, deaths_alone
)
select
    loads.options #>> '{kafka,group}',
    loads.options #>> '{kafka,topic}',
    moves.key::int,
    coalesce((moves.value ->> 0)::bigint, 0),
    (moves.value ->> 1)::bigint,
    1,
    (coalesce(loads.options #>> '{kafka,messages}', '') = '1')::int
from raw.loads
cross join jsonb_each(loads.options #> '{kafka,offsets}') as moves (key, value)
where loads.load_id = %(load_id)s and loads.load_seq is null
on conflict (consumer_group, topic, partition_number) do update
set
    first_offset = excluded.first_offset,
    end_offset = excluded.end_offset,
    deaths = 1 + case
        when
            excluded.first_offset >= known.first_offset
            and excluded.first_offset < known.end_offset
            then known.deaths
        else 0
    end,
    deaths_alone = excluded.deaths_alone + case
        when excluded.first_offset = known.first_offset then known.deaths_alone else 0
    end

-- name: kafka_deaths
select
    partition_number,
    first_offset,
    end_offset,
    deaths,
    deaths_alone
from raw.kafka_deaths
where consumer_group = %(group)s and topic = %(topic)s


-- ==== What readers ask

-- name: periods
select {columns} from {view}
where
    (%(since)s::timestamptz is null or ended_at >= %(since)s)
    and (%(until)s::timestamptz is null or started_at < %(until)s)
order by category collate "C", started_at

-- name: alerts
select {columns} from {view}
where
    (%(since)s::timestamptz is null or triggered_at >= %(since)s)
    and (%(until)s::timestamptz is null or triggered_at < %(until)s)
order by triggered_at, rule_name collate "C", source_name collate "C"

-- name: find_load
select {columns} from raw.loads where load_id = %(load_id)s

-- name: explain_load
with

-- Worked out first: Citus asks the nodes for it, and then the functions beside them.
sources as materialized (
    select coalesce(array_agg(distinct events.source_id), '{{}}') as ids
    from raw.events
    where
        events.load_id = %(load_id)s
        and events.chunk_ended_at >= %(since)s
        and events.chunk_started_at <= %(until)s
),

-- What joins two periods lies between them: all of both must be looked at.
touched as (
    select
        least(min(started_at), %(since)s) as since,
        greatest(max(ended_at), %(until)s) + interval '1 microsecond' as until
    from (
        select started_at, ended_at
        from {activity_periods}(%(seq)s, %(since)s, %(until)s + interval '1 microsecond')
        union all
        select started_at, ended_at
        from {activity_periods}(%(seq)s - 1, %(since)s, %(until)s + interval '1 microsecond')
    ) as periods
),

found as (
    select
        null::text as rule_name, periods.activity_period_id as id, periods.source_name,
        periods.category, periods.event_count, periods.started_at, periods.ended_at, null::timestamptz as triggered_at,
        seqs.seq = %(seq)s as is_after
    from touched
    cross join (values (%(seq)s - 1), (%(seq)s)) as seqs (seq)
    cross join lateral {activity_periods}(seqs.seq, touched.since, touched.until) as periods

    union all

    select
        alerts.rule_name, alerts.alert_id as id, alerts.source_name, alerts.category,
        alerts.event_count, alerts.started_at, alerts.ended_at, alerts.triggered_at, seqs.seq = %(seq)s as is_after
    from touched
    cross join sources
    cross join (values (%(seq)s - 1), (%(seq)s)) as seqs (seq)
    cross join lateral {alerts}(
        seqs.seq,
        sources.ids,
        touched.since,
        touched.until
    ) as alerts
)

-- What is the same before and after is no change.
select {columns}
from (
    select
        *,
        count(*) over (partition by rule_name, id, event_count, ended_at, triggered_at)
            as count_of_same
    from found
) as counted
where count_of_same = 1
order by
    rule_name collate "C" nulls first, source_name collate "C", category collate "C", started_at,
    ended_at


-- ==== Schema and roles

-- name: schema_mark
-- From the catalog alone: to_regclass fails for whoever may not look into the schema.
select coalesce(obj_description(namespaces.oid, 'pg_namespace'), relations.relname)
from pg_namespace as namespaces
left join pg_class as relations
    on namespaces.oid = relations.relnamespace and relations.relname = 'loads'
where namespaces.nspname = 'raw'

-- name: name_of_a_stranger
-- What has one of the names in schema raw, where the ledger is not there, or is something else.
select relations.relname
from pg_class as relations
inner join pg_namespace as namespaces on relations.relnamespace = namespaces.oid
where
    namespaces.nspname = 'raw'
    and relations.relname = any(%(names)s)
    and not exists (
        select from pg_class as loads
        inner join pg_attribute as columns on loads.oid = columns.attrelid
        where
            loads.relnamespace = namespaces.oid
            and loads.relname = 'loads'
            and columns.attname = 'load_seq'
    )
order by relations.relname
limit 1

-- name: set_schema_version
insert into raw.schema_version (version, loader_version)
values (%(version)s, %(loader_version)s)
on conflict (is_only_row) do update
set
    version = excluded.version,
    loader_version = excluded.loader_version
where schema_version.version < excluded.version

-- name: grants
-- What the roles may do beyond what is theirs. The marts are granted by dbt, which makes them anew.
grant connect on database {database} to {loader}, {reader};
-- Developers have target schemas of their own, and incremental models work in temporary tables.
grant connect, create, temporary on database {database} to {transformer};

grant usage on schema raw to {transformer};
grant select on all tables in schema raw to {transformer};
alter default privileges for role {loader} in schema raw grant select on tables to {transformer};

-- The loader looks up, in the one table that dbt grants it, what the models have taken note of; those of
-- earlier versions have it beside the marts.
grant usage on schema {schema} to {loader}, {reader};
grant usage on schema {internal} to {loader};

-- name: hand_over
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

-- name: waits
-- Of a session: whether it waits for its client, how far its COPY has come, and who blocks it.
select
    coalesce(own.wait_event = 'ClientRead', false) as is_waiting_for_client,
    (select bytes_processed from pg_stat_progress_copy where pid = own.pid) as bytes_processed,
    blocking.pid as blocking_pid,
    others.usename,
    others.application_name,
    others.state,
    to_char(others.state_change at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') as state_since
from pg_stat_activity as own
left join lateral (select distinct unnest(pg_blocking_pids(own.pid)) as pid) as blocking on true
left join pg_stat_activity as others on blocking.pid = others.pid
where own.pid = %(pid)s
order by others.state_change, blocking.pid


-- ==== On a cluster, see citus.py

-- name: is_distributed
-- A dump that was restored to another server has the table, and not the extension.
select
from pg_class
inner join pg_extension on pg_extension.extname = 'citus'
where
    pg_class.relname = 'cluster'
    and pg_class.relnamespace = (select oid from pg_namespace where nspname = 'raw')

-- name: is_chunks_distributed
-- By oid, as readers of the marts may not look into the schema.
select
from pg_dist_partition
inner join pg_class on pg_dist_partition.logicalrelid = pg_class.oid
where
    pg_class.relname = 'event_chunks'
    and pg_class.relnamespace = (select oid from pg_namespace where nspname = 'raw')

-- name: share_marks
-- Of all that is there: who may only read marts cannot ask which of it are models.
select pg_advisory_xact_lock_shared(hashtextextended('video-events mark ' || relname, 0))
from (
    select distinct relname
    from pg_class
    where
        relkind in ('r', 'v')
        and relnamespace in (select oid from pg_namespace where nspname = any(%(schemas)s))
    order by relname
) as models

-- name: pending_on_nodes
-- A node that does not answer says so when it is asked for its rows.
select unnest(string_to_array(result, ','))
from run_command_on_workers($command$
    select string_agg(gid, ',') from pg_prepared_xacts
    where database = current_database() and gid like 'citus\_0\_%'
$command$)
where success and result <> ''

-- name: make_up_for_pending
select success
from run_command_on_coordinator('select recover_prepared_transactions()')
where has_function_privilege('recover_prepared_transactions()', 'execute')

-- name: colocate
select create_distributed_table(%(table)s, 'source_id', colocate_with => 'raw.event_chunks')

-- name: ranges_of_loads
select coalesce(range_agg(int8range(load_id, load_id, '[]')), '{{}}')::text
from ({loads}) as loads

-- name: as_json
select coalesce(json_agg(found), '[]') from ({query}) as found

-- name: run_on_nodes
-- The coordinator is one where it holds events, too.
select
    format('%%s:%%s', nodes.nodename, nodes.nodeport),
    case when answers.success then answers.result end
from run_command_on_all_nodes(%(command)s) as answers
inner join pg_dist_node as nodes using (nodeid)
where nodes.groupid <> 0 or (nodes.shouldhaveshards and %(is_coordinator_asked)s)

-- name: cluster
select
    (select groupid from pg_dist_local_group) = 0,
    exists (select from pg_dist_node where groupid = 0 and nodename <> 'localhost'),
    (select count(*) from pg_dist_node where shouldhaveshards and isactive)

-- name: undistributed_tables
-- Names first: they are looked up where events are.
select tables.name
from (
    values (1, 'raw.sources'), (2, 'raw.event_types'), (3, 'raw.event_chunks')
) as tables (place, name)
where not exists (select from pg_dist_partition where logicalrelid = tables.name::regclass)
order by tables.place

-- name: distribute_table
select
    case
        when %(table)s = 'raw.event_chunks' then create_distributed_table(%(table)s, 'source_id')
        else create_reference_table(%(table)s)
    end

-- name: nodes_with_chunks
select
    array_agg(distinct format('%s:%s', nodename, nodeport)),
    count(distinct shardid)
from citus_shards
where table_name = 'raw.event_chunks'::regclass

-- name: who_comes_to_nodes
-- Who owns the events, and who may read them.
select
    pg_get_userbyid(relations.relowner),
    array(
        select distinct pg_get_userbyid(rights.grantee)
        from aclexplode(relations.relacl) as rights
        where rights.grantee not in (0, relations.relowner)
    )
from pg_class as relations
where relations.oid = 'raw.event_chunks'::regclass

-- name: let_into_nodes
alter role {role} login;
grant execute on function pg_catalog.recover_prepared_transactions() to {role}

-- name: let_read_on_nodes
-- Citus does not tell nodes by itself. What a view reads with the rights of its owner, they are asked for as
-- whoever reads the view.
grant select on raw.event_chunks, raw.events, raw.sources, raw.event_types to {transformer};
grant usage on schema raw, {internal} to {reader};
grant select on raw.event_chunks, raw.sources, raw.event_types to {reader};
grant select (load_id, load_seq, withdrawn_seq, published_at) on raw.loads to {reader};
grant select on all tables in schema {internal} to {reader};
alter default privileges for role {transformer} in schema {internal} grant select on tables to {reader}


-- ==== Events in rows, of loaders up to schema version 1, become chunks

-- name: prepare_migration
-- It gets its name when it is complete: until then nobody takes a part of the events for all.
create table if not exists raw.converted_chunks (
    first_event_at timestamptz not null,
    last_event_at timestamptz not null,
    load_id bigint not null,
    source_id int not null,
    event_count int not null,
    event_times timestamptz [] not null,
    event_type_ids smallint [] not null,
    attributes jsonb [],
    load_ids bigint []
) partition by range (first_event_at);
create index if not exists event_chunks_source_time
on raw.converted_chunks (source_id, first_event_at, last_event_at);
create index if not exists event_chunks_load on raw.converted_chunks (load_id);

create table if not exists raw.converted_partitions (
    partition_name text primary key,
    chunks_name text not null unique,
    load_seq bigint not null default 0
)

-- name: partition_names
select child.relname::text
from pg_inherits as inheritance
inner join pg_class as child on inheritance.inhrelid = child.oid
where inheritance.inhparent = to_regclass(%(table)s)
order by child.relname

-- name: begin_partition
insert into raw.converted_partitions (partition_name, chunks_name)
values (%(partition)s, 'event_chunks_' || regexp_replace(%(partition)s, '^events_', ''))
on conflict do nothing

-- name: chunks_partition
-- What is to be created, and its bounds.
select
    converted.chunks_name,
    pg_get_expr(rows.relpartbound, rows.oid)
from raw.converted_partitions as converted
inner join pg_class as rows
    on converted.partition_name = rows.relname and rows.relnamespace = 'raw'::regnamespace
where
    converted.partition_name = %(partition)s
    and not exists (
        select 1
        from pg_class as chunks
        where chunks.relname = converted.chunks_name and chunks.relnamespace = 'raw'::regnamespace
    )

-- name: convert_partition
-- Of the loads that were published since: their rows stay as they are. How many there are, by
-- another plan than the one that copies them, and how many came into chunks.
with reach as materialized (
    select
        converted.load_seq as lo,
        counter.load_seq as hi
    from raw.converted_partitions as converted
    cross join raw.load_counter as counter
    where converted.partition_name = %(partition)s
),

new_loads as materialized (
    select loads.load_id
    from raw.loads
    cross join reach
    where loads.load_seq > reach.lo and loads.load_seq <= reach.hi
),

placed as (
    select
        events.*,
        date_bin('1 day', events.event_time, '2000-01-01 00:00:00+00') as day,
        row_number() over in_order as position_in_day
    from {partition} as events
    inner join new_loads on events.load_id = new_loads.load_id
    window in_order as (
        partition by
            events.load_id,
            events.source_id,
            date_bin('1 day', events.event_time, '2000-01-01 00:00:00+00')
        order by events.event_time, events.event_type_id
    )
),

inserted as (
    {insert_chunks}
),

noted as (
    update raw.converted_partitions as converted
    set load_seq = reach.hi
    from reach
    where converted.partition_name = %(partition)s
)

select
    (
        select count(*)
        from {partition} as events
        where events.load_id in (select new_loads.load_id from new_loads)
    ),
    (select coalesce(sum(inserted.event_count), 0)::bigint from inserted)

-- name: unconverted_partitions
-- Those that loads may have written to which were published since the last round.
select child.relname::text
from pg_inherits as inheritance
inner join pg_class as child on inheritance.inhrelid = child.oid
cross join lateral (select pg_get_expr(child.relpartbound, child.oid) as expression) as bounds
left join raw.converted_partitions as converted on child.relname = converted.partition_name
where
    inheritance.inhparent = 'raw.events'::regclass
    and exists (
        select 1
        from raw.loads
        where
            loads.load_seq > coalesce(converted.load_seq, 0)
            and (
                bounds.expression = 'DEFAULT'
                or loads.first_event_at
                < substring(bounds.expression from $$ TO \('([^']+)'\)$$)::timestamptz
                and loads.last_event_at
                >= substring(bounds.expression from $$FROM \('([^']+)'\)$$)::timestamptz
            )
    )
order by child.relname

-- name: dropped_meanwhile
select converted.chunks_name
from raw.converted_partitions as converted
inner join pg_class as chunks
    on converted.chunks_name = chunks.relname and chunks.relnamespace = 'raw'::regnamespace
where not exists (
    select 1
    from pg_class as rows
    where rows.relname = converted.partition_name and rows.relnamespace = 'raw'::regnamespace
)

-- name: dependents
-- Views that have to be made again, with how, and whether we may: who replaces a view has to be its
-- owner, and may have to create in its schema. Whatever else there is can depend on a table only.
select distinct
    coalesce(views.relkind = 'v', false) as is_view,
    views.oid,
    case
        when views.relkind = 'v'
            then format('%s (of %I)', views.oid::regclass, pg_get_userbyid(views.relowner))
        else pg_describe_object(dependency.classid, dependency.objid, 0)
    end as description,
    pg_has_role(views.relowner, 'usage')
    and has_schema_privilege(views.relnamespace, 'create') as may_be_replaced,
    format(
        'create or replace view %s%s as %s',
        views.oid::regclass,
        (
            select ' with (' || string_agg(format('%I = %L', option_name, option_value), ', ') || ')'
            from pg_options_to_table(views.reloptions)
        ),
        pg_get_viewdef(views.oid)
    ) as statement
from pg_depend as dependency
left join pg_rewrite as rewriting
    on dependency.classid = 'pg_rewrite'::regclass and dependency.objid = rewriting.oid
left join pg_class as views on rewriting.ev_class = views.oid
where
    dependency.refclassid = 'pg_class'::regclass
    and dependency.refobjid = 'raw.events'::regclass
    and dependency.deptype = 'n'
order by is_view, views.oid, description

-- name: replace_rows
alter table raw.events rename to events_in_rows;
alter table raw.converted_chunks rename to event_chunks

-- name: forget_purged
delete from raw.event_chunks
where load_id in (select loads.load_id from raw.loads where loads.purged_at is not null)

-- name: rights_on_rows
-- The view and the chunks belong to whom the rows belonged to, and others may do what they could.
select format('alter %s owner to %I', object, pg_get_userbyid(rows.relowner))
from pg_class as rows
cross join (
    select 'view raw.events' as object
    union all
    select 'table raw.event_chunks'
    union all
    select 'table ' || inhrelid::regclass::text
    from pg_inherits
    where inhparent = 'raw.event_chunks'::regclass
) as objects
where rows.oid = 'raw.events_in_rows'::regclass

union all

select
    format(
        'grant %s on %s to %s%s',
        rights.privilege_type,
        objects.object,
        case when rights.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(rights.grantee)) end,
        case when rights.is_grantable then ' with grant option' else '' end
    )
from pg_class as rows
cross join lateral aclexplode(rows.relacl) as rights
cross join (values ('raw.events'), ('raw.event_chunks')) as objects (object)
where
    rows.oid = 'raw.events_in_rows'::regclass
    and rights.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER')
