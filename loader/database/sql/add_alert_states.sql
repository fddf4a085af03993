insert into raw.alert_states (source_id)
select source_id from unnest(%(source_ids)s::int[]) as sources (source_id)
order by source_id
on conflict do nothing
