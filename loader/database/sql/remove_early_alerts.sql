delete from raw.early_alerts
where load_id = %(load_id)s and source_id = any(%(source_ids)s::int[])
