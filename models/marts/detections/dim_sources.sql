{{ config(unique_key=['source_id'], meta={'distributed_by': 'source_id'}) }}

with

totals as (
    select
        chunks.source_id,
        sum(chunks.event_count) as event_count,
        min(chunks.chunk_started_at) as first_event_at,
        max(chunks.chunk_ended_at) as last_event_at
    from {{ ref('stg_video_events__event_chunks') }} as chunks
    where {{ is_visible(hi_from_scratch(), 'chunks') }}
    group by chunks.source_id
),

final as (
    {{ named_source_totals('totals') | indent(4) }}
)

select * from final
