select
    alerts.early_alert_id,
    alerts.rule_name,
    sources.source_name,
    alerts.category,
    alerts.started_at,
    alerts.triggered_at
from raw.early_alerts as alerts
inner join raw.sources on alerts.source_id = sources.source_id
inner join raw.loads on alerts.load_id = loads.load_id and loads.load_seq is not null
where
    alerts.passed_on_at is null
    and (
        alerts.load_id = any(%(load_ids)s::bigint[])
        or loads.published_at < clock_timestamp() - %(forgotten_after)s::interval
    )
order by alerts.triggered_at, alerts.rule_name, sources.source_name
limit %(limit)s
