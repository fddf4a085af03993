{%- set followed = {
    'periods': [
        'fct_activity_periods',
        changes_of_fct_activity_periods,
        ['source_id', 'category', 'started_at'],
        ['source_id', 'category', 'event_count', 'started_at', 'ended_at'],
    ],
    'runs': [
        'int_event_runs',
        changes_of_int_event_runs,
        ['source_id', 'started_at', 'first_event_type'],
        [
            'source_id', 'category', 'first_event_type', 'event_count', 'is_first_in_bucket',
            'is_last_in_bucket', 'first_event_times', 'bucket_started_at', 'started_at', 'ended_at',
        ],
    ],
    'hours': [
        'fct_hourly_detections',
        changes_of_fct_hourly_detections,
        ['source_id', 'hour_started_at', 'event_type'],
        ['source_id', 'category', 'event_count', 'hour_started_at'],
    ],
} -%}
with

{% for name, (model, changes_of_model, key, columns) in followed.items() -%}
-- What is stored may know of more loads than the stored alerts: between their models.
newer_{{ name }} as materialized (
    {{ changes_of_model(stored=ref(model), batch=live_batch(model)) | indent(4) }}
),

-- Not materialized: it is asked for a few rows at a time, and stands for all that is stored.
live_{{ name }} as not materialized (
    {{
        with_changes(
            stored=ref(model), changes='newer_' ~ name, key=key, columns=columns
        ) | indent(4)
    }}
),

{% endfor -%}
-- What is looked up in many weeks: there it is a join.
added_hours as materialized (
    select
        changes.source_id,
        changes.category,
        sum(changes.event_count - coalesce(stored.event_count, 0))::bigint as event_count,
        {{ local_hour('changes.hour_started_at') }} as local_hour
    from newer_hours as changes
    left join {{ ref('fct_hourly_detections') }} as stored
        on {{ same_key('changes', 'stored', ['source_id', 'hour_started_at', 'event_type']) }}
    group by
        changes.source_id,
        changes.category,
        {{ local_hour('changes.hour_started_at') }}
),

changes as materialized (
    {{
        changes_of_fct_alerts(
            stored=ref('fct_alerts'),
            batch=live_batch('fct_alerts'),
            runs='live_runs',
            newer_periods='newer_periods',
            newest_periods='live_periods',
            added_hours='added_hours',
            newest_hours='live_hours',
        ) | indent(4)
    }}
),

open_alerts as (
    {{ open_absence_alerts('live_periods') | indent(4) }}
    union all
    select * from ({{ open_unusual_alerts('live_hours', 'added_hours') | indent(4) }}) as unusual
),

final as (
    {%- set columns = [
        'alert_id', 'rule_name', 'source_id', 'source_name', 'category',
        'first_event_type', 'event_count', 'started_at', 'triggered_at', 'ended_at',
    ] %}
    {{
        with_changes(
            stored=ref('fct_alerts'),
            changes='changes',
            key=['source_id', 'started_at', 'rule_name', 'first_event_type'],
            columns=columns,
        ) | indent(4)
    }}

    union all

    select {{ columns | join(', ') }}
    from ({{ named_alerts('open_alerts') | indent(4) }}) as named
)

select * from final
