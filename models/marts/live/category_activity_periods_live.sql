with

changes as materialized (
    {{
        changes_of_fct_category_activity_periods(
            stored=ref('fct_category_activity_periods'),
            batch=live_batch('fct_category_activity_periods'),
            source_periods=ref('activity_periods_live'),
        ) | indent(4)
    }}
),

final as (
    {{
        with_changes(
            stored=ref('fct_category_activity_periods'),
            changes='changes',
            key=['category', 'started_at'],
            columns=[
                'category_activity_period_id', 'category', 'source_ids', 'source_count',
                'event_count', 'started_at', 'ended_at', 'duration', 'duration_seconds',
                'source_names',
            ],
        ) | indent(4)
    }}
)

select * from final
