with inserted as (
    insert into raw.events (event_time, load_id, source_id, event_type_id, attributes)
    select distinct on (staged.source_id, staged.event_time, staged.event_type_id)
        staged.event_time,
        staged.load_id,
        staged.source_id,
        staged.event_type_id,
        staged.attributes
    from {staging} as staged
    where not exists (
        select 1
        from raw.events
        inner join raw.loads on events.load_id = loads.load_id
        where
            events.source_id = staged.source_id
            and events.event_time = staged.event_time
            and events.event_type_id = staged.event_type_id
            and events.event_time between {first} and {last}
            and loads.load_seq is not null
            and loads.withdrawn_seq is null
    )
    order by staged.source_id, staged.event_time, staged.event_type_id, staged.row_number
    returning event_time
)

select
    count(*),
    min(event_time),
    max(event_time)
from inserted
