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

changes as materialized (
    {{
        changes_of_fct_alerts(
            stored=ref('fct_alerts'),
            batch=live_batch('fct_alerts'),
            runs='live_runs',
            newer_periods='newer_periods',
            newest_periods='live_periods',
        ) | indent(4)
    }}
),

open_absences as (
    {{ open_absence_alerts('live_periods') | indent(4) }}
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
    from ({{ named_alerts('open_absences') | indent(4) }}) as named
)

select * from final
