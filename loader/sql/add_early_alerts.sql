insert into raw.early_alerts (load_id, source_id, rule_name, category, started_at, triggered_at)
select
    %(load_id)s,
    found.source_id,
    found.rule_name,
    found.category,
    to_timestamp(0) + found.started_at * interval '1 microsecond',
    to_timestamp(0) + found.triggered_at * interval '1 microsecond'
from unnest(
    %(source_ids)s::int[],
    %(rule_names)s::text[],
    %(categories)s::text[],
    %(started)s::bigint[],
    %(triggered)s::bigint[]
) as found (source_id, rule_name, category, started_at, triggered_at)
