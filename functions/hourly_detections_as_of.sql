-- The last hour ends after the stretch.
last_at := until + interval '1 hour';
{{ refuse_what_is_gone() }}

return query
with

events as (
    {{ events_as_of() | indent(4) }}
),

counts as (
    {{ hourly_counts('events') | indent(4) }}
),

final as (
    {{ named_hourly_detections('counts') | indent(4) }}
)

select * from final
where
    hour_started_at >= since
    and hour_started_at < until
order by
    hour_started_at,
    source_name collate "C",
    event_type collate "C"
