{{
    config(
        unique_key=['source_id'],
        indexes=[{'columns': ['source_id'], 'unique': true}],
    )
}}

-- depends_on: {{ ref('stg_video_events__loads') }}, {{ ref('stg_video_events__event_history') }}
-- depends_on: {{ ref('stg_video_events__event_chunks') }}, {{ source('raw', 'dropped_sources') }}
with

{% if is_incremental() %}

totals as (
    {{ changed_source_totals(stored=this, batch=this_batch()) | indent(4) }}
),

{% else %}

totals as (
    select
        chunks.source_id,
        sum(chunks.event_count) as event_count,
        min(chunks.chunk_started_at) as first_event_at,
        max(chunks.chunk_ended_at) as last_event_at
    from {{ ref('stg_video_events__event_chunks') }} as chunks
    where {{ visible_at(this_batch().hi, 'chunks') }}
    group by chunks.source_id
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
