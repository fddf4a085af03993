with

changed_events as materialized (
    {{ changed_events(lo=live_lo('fct_alerts'), hi=live_hi()) | indent(4) }}
),

changed_periods as materialized (
    {{
        changed_periods(
            stored=ref('fct_activity_periods'),
            key=['source_id', 'category'],
            lo=live_lo('fct_activity_periods'),
            hi=live_hi(),
            recount_from=ref('stg_video_events__event_history'),
        ) | indent(4)
    }}
),

{{
    changed_alerts(
        stored=ref('fct_alerts'),
        lo=live_lo('fct_alerts'),
        hi=live_hi(),
        runs=ref('int_event_runs_live'),
        changed_periods='changed_periods',
        changed_extents='changed_periods',
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
            key=['source_id', 'alert_id'],
            columns=[
                'alert_id', 'rule_name', 'source_id', 'source_name', 'category',
                'first_event_type', 'event_count', 'started_at', 'triggered_at', 'ended_at',
            ],
        ) | indent(4)
    }}
)

select * from final
