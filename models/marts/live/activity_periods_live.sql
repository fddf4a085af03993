with

changed_periods as materialized (
    {{
        changed_periods(
            stored=ref('fct_activity_periods'),
            key=['source_id', 'category'],
            batch=live_batch('fct_activity_periods'),
            recount_from=ref('stg_video_events__event_history'),
        ) | indent(4)
    }}
),

sources as (
    select * from {{ ref('stg_video_events__sources') }}
),

changes as materialized (
    {{ named_activity_periods('changed_periods', 'sources') | indent(4) }}
),

final as (
    {{
        with_changes(
            stored=ref('fct_activity_periods'),
            changes='changes',
            key=['source_id', 'category', 'started_at'],
            columns=[
                'activity_period_id', 'source_id', 'source_name', 'category',
                'event_count', 'started_at', 'ended_at', 'duration',
            ],
        ) | indent(4)
    }}
)

select * from final
