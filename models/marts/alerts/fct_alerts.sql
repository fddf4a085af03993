{{
    config(
        unique_key=['source_id', 'started_at', 'rule_name', 'first_event_type'],
        indexes=[{'columns': ['triggered_at']}],
        meta={
            'distributed_by': 'source_id',
            'defined_by': ['event_types', 'activity_gap', 'alert_rules'],
            'follows': ['fct_activity_periods', 'fct_hourly_detections', 'int_event_runs'],
        },
    )
}}

with

pieces as (
    select
        *,
        false as is_separator
    from {{ ref('int_event_runs') }}
),

numbered_pieces as (
    {{ numbered_pieces('pieces') | indent(4) }}
),

alerts as (
    {{ consecutive_alerts('numbered_pieces') | indent(4) }}
    union all
    {{ presence_alerts(ref('fct_activity_periods')) | indent(4) }}
    union all
    {{ absence_alerts(ref('fct_activity_periods')) | indent(4) }}
    union all
    select * from ({{ unusual_alerts(ref('fct_hourly_detections')) | indent(4) }}) as unusual
),

final as (
    {{ named_alerts('alerts') | indent(4) }}
)

select * from final
