{{
    config(
        unique_key=['source_id'],
        indexes=[{'columns': ['source_id'], 'unique': true}],
    )
}}

-- depends_on: {{ ref('stg_video_events__loads') }}, {{ source('raw', 'dropped_sources') }}
with

{% if is_incremental() %}

totals as (
    {{ changed_source_totals(stored=this, batch=this_batch()) | indent(4) }}
),

{% else %}

totals as (
    select
        history.source_id,
        count(*) as event_count,
        min(history.occurred_at) as first_event_at,
        max(history.occurred_at) as last_event_at
    from {{ ref('stg_video_events__event_history') }} as history
    where {{ visible_at(this_batch().hi, 'history') }}
    group by history.source_id
),

{% endif %}

sources as (
    select * from {{ ref('stg_video_events__sources') }}
),

final as (
    select
        totals.source_id,
        sources.source_name,
        totals.event_count::bigint as event_count,
        totals.first_event_at,
        totals.last_event_at
    from totals
    inner join sources on totals.source_id = sources.source_id
)

select * from final
