with

changes as materialized (
    {{
        changed_event_runs(
            stored=ref('int_event_runs'),
            lo=live_lo('int_event_runs'),
            hi=live_hi(),
        ) | indent(4)
    }}
),

final as (
    {{
        with_changes(
            stored=ref('int_event_runs'),
            changes='changes',
            key=['source_id', 'started_at', 'first_event_type'],
            columns=[
                'source_id', 'category', 'first_event_type', 'event_count', 'is_first_in_bucket',
                'is_last_in_bucket', 'bucket_started_at', 'started_at', 'ended_at',
            ],
        ) | indent(4)
    }}
)

select * from final
