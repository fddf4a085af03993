with

changed_events as materialized (
    {{ changed_events(live_batch('fct_alerts'), is_net=false) | indent(4) }}
),

changed_buckets as (
    {{ event_buckets('changed_events', sign='sign') | indent(4) }}
),

islands as materialized (
    {{ merge_periods('changed_buckets', ['source_id', 'category']) | indent(4) }}
),

-- The stored periods may know of more loads than the stored alerts: between their two models.
touched_periods as materialized (
    {{
        touched_periods('islands', ref('fct_activity_periods'), ['source_id', 'category'])
        | indent(4)
    }}
),

newer_periods as materialized (
    {{
        changed_periods(
            stored=ref('fct_activity_periods'),
            key=['source_id', 'category'],
            batch=live_batch('fct_activity_periods'),
            recount_from=ref('stg_video_events__event_history'),
        ) | indent(4)
    }}
),

changed_periods as materialized (
    {{
        with_changes(
            stored='touched_periods',
            changes='newer_periods',
            key=['source_id', 'category', 'started_at'],
            columns=['source_id', 'category', 'event_count', 'started_at', 'ended_at'],
        ) | indent(4)
    }}
),

changed_extents as (
    select
        source_id,
        category,
        started_at,
        ended_at
    from islands
    union all
    select
        source_id,
        category,
        started_at,
        ended_at
    from touched_periods
    union all
    select
        source_id,
        category,
        started_at,
        ended_at
    from newer_periods
),

run_changes as materialized (
    {{
        changed_event_runs(
            stored=ref('int_event_runs'),
            batch=live_batch('int_event_runs'),
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
                'is_last_in_bucket', 'bucket_started_at', 'started_at', 'ended_at',
            ],
        ) | indent(4)
    }}
),

{{
    changed_alerts(
        stored=ref('fct_alerts'),
        batch=live_batch('fct_alerts'),
        runs='live_runs',
        changed_periods='changed_periods',
        changed_extents='changed_extents',
    )
}},

sources as (
    select * from {{ ref('stg_video_events__sources') }}
),

changes as materialized (
    {{ named_alerts('changed_alerts', 'sources') | indent(4) }}
),

final as (
    {{
        with_changes(
            stored=ref('fct_alerts'),
            changes='changes',
            key=['source_id', 'started_at', 'rule_name', 'first_event_type'],
            columns=[
                'alert_id', 'rule_name', 'source_id', 'source_name', 'category',
                'first_event_type', 'event_count', 'started_at', 'triggered_at', 'ended_at',
            ],
        ) | indent(4)
    }}
)

select * from final
