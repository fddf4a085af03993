{{
    config(
        unique_key=['category', 'started_at'],
        indexes=[{'columns': ['category', 'started_at'], 'unique': true}],
        meta={
            'defined_by': ['event_types', 'activity_gap'],
            'follows': ['fct_activity_periods'],
        },
    )
}}

-- depends_on: {{ ref('stg_video_events__loads') }}, {{ ref('stg_video_events__event_history') }}
with

{% if is_incremental() %}

periods as (
    {{
        changed_periods(
            stored=this,
            key=['category'],
            batch=this_batch(),
            recount_from=ref('fct_activity_periods'),
        ) | indent(4)
    }}
),

{% else %}

source_periods as (
    select
        *,
        false as is_recount_needed
    from {{ ref('fct_activity_periods') }}
),

periods as (
    {{ merge_periods('source_periods', ['category']) | indent(4) }}
),

{% endif %}

final as (
    {{ named_category_activity_periods('periods') | indent(4) }}
)

select * from final
