-- A run ends where its source sees another category, however long that takes.
first_at := '-infinity';
last_at := 'infinity';
{{ refuse_what_is_gone() }}

return query
with

events as (
    {{ events_as_of() | indent(4) }}
),

buckets as (
    {{ event_buckets('events') | indent(4) }}
),

periods as (
    {{ merge_periods('buckets', ['source_id', 'category']) | indent(4) }}
),

marked as (
    select
        *,
        lag(category) over (
            partition by source_id
            order by occurred_at, event_type collate "C"
        ) is distinct from category as is_start
    from events
),

numbered as (
    select
        *,
        count(*) filter (where is_start) over (
            partition by source_id
            order by occurred_at, event_type collate "C"
        ) as run_number
    from marked
),

runs as (
    select
        source_id,
        category,
        occurred_at,
        first_value(event_type) over in_order as first_event_type,
        row_number() over in_order as event_number,
        count(*) over whole_run as event_count,
        min(occurred_at) over whole_run as started_at,
        max(occurred_at) over whole_run as ended_at
    from numbered
    window
        whole_run as (partition by source_id, run_number),
        in_order as (whole_run order by occurred_at, event_type collate "C")
),

hours as (
    {{ hourly_counts('events') | indent(4) }}
),

alerts as (
    select
        rules.rule_name,
        runs.source_id,
        runs.category,
        runs.first_event_type,
        runs.event_count,
        runs.started_at,
        runs.occurred_at as triggered_at,
        runs.ended_at
    from runs
    inner join {{ ref('stg_video_events__alert_rules') }} as rules
        on
            rules.kind = 'consecutive'
            and runs.category = rules.category
            and runs.event_number = rules.threshold
    union all
    {{ presence_alerts('periods') | indent(4) }}
    union all
    {{ absence_alerts('periods') | indent(4) }}
    union all
    select * from ({{ unusual_alerts('hours') | indent(4) }}) as unusual
),

final as (
    {{ named_alerts('alerts') | indent(4) }}
)

select * from final
where
    triggered_at >= since
    and triggered_at < until
order by
    triggered_at,
    source_name collate "C",
    rule_name collate "C"
