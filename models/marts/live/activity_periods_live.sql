with

changes as materialized (
    {{
        changes_of_fct_activity_periods(
            stored=ref('fct_activity_periods'), batch=live_batch('fct_activity_periods')
        ) | indent(4)
    }}
),

final as (
    {{
        with_changes(
            stored=ref('fct_activity_periods'),
            changes='changes',
            key=['source_id', 'category', 'started_at'],
            columns=[
                'activity_period_id', 'source_id', 'source_name', 'category',
                'event_count', 'started_at', 'ended_at', 'duration', 'duration_seconds',
            ],
        ) | indent(4)
    }}
)

select * from final
