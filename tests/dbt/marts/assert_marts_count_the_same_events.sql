-- Marts hold the visible events up to their marks: none is lost, none is counted twice.
{%- set marts = {
    'fct_hourly_detections': ['source_id', 'category', 'event_type', "hour_started_at at time zone 'UTC'"],
    'fct_daily_activity': ['source_id', 'category', 'null', 'activity_date::timestamp'],
    'fct_activity_periods': ['source_id', 'category', 'null', 'null::timestamp'],
    'fct_category_activity_periods': ['null::int', 'category', 'null', 'null::timestamp'],
    'dim_sources': ['source_id', 'null', 'null', 'null::timestamp'],
} %}
with

marks as (
    {%- for name in marts %}
    select
        '{{ name }}' as model_name,
        progress.load_seq,
        (
            select coalesce(max(retention.dropped_before), '-infinity')
            from {{ source('raw', 'retention') }} as retention
        ) as dropped_before
    from {{ mark_of(ref(name)) | indent(4) }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

-- The loads of each as one value: all that the nodes of a cluster need of the ledger.
positions as materialized (
    select
        marks.load_seq,
        marks.dropped_before,
        range_agg(int8range(loads.load_id, loads.load_id, '[]')) as load_ids
    from marks
    inner join {{ ref('stg_video_events__loads') }} as loads
        on {{ visible_at('marks.load_seq', 'loads') }}
    group by
        marks.load_seq,
        marks.dropped_before
),

-- Of hours whose raw events were dropped, which nothing can change any more, only the marts know.
hours as materialized (
    select
        positions.load_seq,
        history.source_id,
        history.category,
        history.event_type,
        date_bin(interval '1 hour', history.occurred_at, timestamptz '2000-01-01 00:00:00+00')
            as hour_started_at,
        count(*) as event_count
    from {{ ref('stg_video_events__event_history') }} as history
    inner join positions
        on
            history.load_id <@ positions.load_ids
            and history.occurred_at >= positions.dropped_before
    group by
        positions.load_seq,
        history.source_id,
        history.category,
        history.event_type,
        date_bin(interval '1 hour', history.occurred_at, timestamptz '2000-01-01 00:00:00+00')

    union all

    select
        positions.load_seq,
        stored.source_id,
        stored.category,
        stored.event_type,
        stored.hour_started_at,
        stored.event_count
    from {{ ref('fct_hourly_detections') }} as stored
    inner join positions on stored.hour_started_at < positions.dropped_before
),

hours_of_days as (
    select
        *,
        {{ report_date('hour_started_at') }} as activity_date
    from hours
),

-- What the events say, and what the marts say, in the same columns.
said as (
    {%- for name, columns in marts.items() %}
    {%- for says, relation in [('events', 'hours_of_days'), ('mart', ref(name))] %}
    select
        '{{ says }}' as says,
        '{{ name }}' as model_name,
        {{ columns[0] }} as source_id,
        {{ columns[1] }}::text as category,
        {{ columns[2] }}::text as event_type,
        {{ columns[3] }} as begun_at,
        {{ 'load_seq' if says == 'events' else 'null::bigint' }} as load_seq,
        event_count
    from {{ relation }}
    {%- if not (loop.last and name == 'dim_sources') %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- endfor %}
)

select
    said.model_name,
    said.source_id,
    said.category,
    said.event_type,
    said.begun_at,
    sum(said.event_count) filter (where said.says = 'events') as events_say,
    sum(said.event_count) filter (where said.says = 'mart') as mart_says
from said
inner join marks
    on
        said.model_name = marks.model_name
        and (said.says = 'mart' or said.load_seq = marks.load_seq)
group by
    said.model_name,
    said.source_id,
    said.category,
    said.event_type,
    said.begun_at
having
    sum(said.event_count) filter (where said.says = 'events')
    is distinct from sum(said.event_count) filter (where said.says = 'mart')
