{{
    config(
        unique_key=['category', 'started_at'],
        meta={
            'defined_by': ['event_types', 'activity_gap'],
            'follows': ['fct_activity_periods'],
        },
    )
}}

with

source_periods as (
    {{ parts_of_category_periods(ref('fct_activity_periods')) | indent(4) }}
),

periods as (
    {{ merge_periods('source_periods', ['category']) | indent(4) }}
),

final as (
    {{ named_category_activity_periods('periods') | indent(4) }}
)

select * from final
