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
