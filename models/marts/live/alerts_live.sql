with

-- The stored periods and runs may know of more loads than the stored alerts: between their models.
newer_periods as materialized (
    {{
        changes_of_fct_activity_periods(
            stored=ref('fct_activity_periods'), batch=live_batch('fct_activity_periods')
        ) | indent(4)
    }}
),

run_changes as materialized (
    {{
        changes_of_int_event_runs(
            stored=ref('int_event_runs'), batch=live_batch('int_event_runs')
        ) | indent(4)
    }}
),

-- Not materialized: it is asked for a few rows at a time, and stands for all that is stored.
live_runs as not materialized (
    {{
        with_changes(
            stored=ref('int_event_runs'),
            changes='run_changes',
            key=['source_id', 'started_at', 'first_event_type'],
            columns=[
                'source_id', 'category', 'first_event_type', 'event_count', 'is_first_in_bucket',
                'is_last_in_bucket', 'first_event_times', 'bucket_started_at', 'started_at',
                'ended_at',
            ],
        ) | indent(4)
    }}
),

-- Not materialized either.
live_periods as not materialized (
    {{
        with_changes(
            stored=ref('fct_activity_periods'),
            changes='newer_periods',
            key=['source_id', 'category', 'started_at'],
            columns=['source_id', 'category', 'event_count', 'started_at', 'ended_at'],
        ) | indent(4)
    }}
),

hour_changes as materialized (
    {{
        changes_of_fct_hourly_detections(
            stored=ref('fct_hourly_detections'), batch=live_batch('fct_hourly_detections')
        ) | indent(4)
    }}
),

-- Nor this one.
live_hours as not materialized (
    {{
        with_changes(
            stored=ref('fct_hourly_detections'),
            changes='hour_changes',
            key=['source_id', 'hour_started_at', 'event_type'],
            columns=['source_id', 'category', 'event_count', 'hour_started_at'],
        ) | indent(4)
    }}
),

-- What is looked up in many weeks: there it is a join.
newer_hours as materialized (
    select
        changes.source_id,
        changes.category,
        sum(changes.event_count - coalesce(stored.event_count, 0))::bigint as event_count,
        {{ local_hour('changes.hour_started_at') }} as local_hour
    from hour_changes as changes
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
            newer_hours='newer_hours',
            newest_hours='live_hours',
        ) | indent(4)
    }}
),

open_alerts as (
    {{ open_absence_alerts('live_periods') | indent(4) }}
    union all
    select * from ({{ open_unusual_alerts('live_hours', 'newer_hours') | indent(4) }}) as unusual
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
