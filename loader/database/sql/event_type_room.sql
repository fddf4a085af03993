-- The names there are, and how many more can be numbered: a number once taken is never given back.
select
    array(select event_types.event_type from raw.event_types) as names,
    32767 - coalesce(
        pg_sequence_last_value(pg_get_serial_sequence('raw.event_types', 'event_type_id')::regclass), 0
    ) as room
