{% macro changes_of_dim_sources(stored, batch) %}
    with

    changed_events as (
        {{ changed_events(batch) | indent(8) }}
    ),

    differences as materialized (
        select
            source_id,
            sum(sign) as event_count,
            min(occurred_at) as first_event_at,
            max(occurred_at) as last_event_at,
            bool_or(sign < 0) as is_recounted
        from changed_events
        group by source_id
    ),

    totals as (
        select
            differences.source_id,
            coalesce(stored.event_count, 0) + differences.event_count as event_count,
            {#-
                Only a withdrawal moves them inwards, to two ends of an index on (source_id, first_event_at).
                What was dropped cannot be withdrawn: then the first one stays, and the last one of
                them comes back when nothing later is left.
            #}
            case
                when stored.first_event_at < {{ batch.dropped_before }} then stored.first_event_at
                when differences.is_recounted then first_event.occurred_at
                else least(stored.first_event_at, differences.first_event_at)
            end as first_event_at,
            case
                when differences.is_recounted then coalesce(last_event.occurred_at, dropped_sources.last_event_at)
                else greatest(stored.last_event_at, differences.last_event_at)
            end as last_event_at
        from {{ at_nodes('differences', batch) }} as differences
        left join {{ stored }} as stored on differences.source_id = stored.source_id
        left join {{ source('raw', 'dropped_sources') }} as dropped_sources
            on differences.source_id = dropped_sources.source_id
        left join lateral (
            select chunks.chunk_started_at as occurred_at
            from {{ ref('stg_video_events__event_chunks') }} as chunks
            where
                differences.is_recounted
                and chunks.source_id = differences.source_id
                and chunks.chunk_started_at < {{ batch.recount_until }}
                and {{ is_visible(batch.hi, 'chunks') }}
            order by chunks.chunk_started_at
            limit 1
        ) as first_event on true
        left join lateral (
            {#- The chunk that begins last need not end last, but it is of the same day. #}
            select max(chunks.chunk_ended_at) as occurred_at
            from {{ ref('stg_video_events__event_chunks') }} as chunks
            where
                differences.is_recounted
                and chunks.source_id = differences.source_id
                and chunks.chunk_started_at < {{ batch.recount_until }}
                and {{ is_visible(batch.hi, 'chunks') }}
                and chunks.chunk_started_at >= (
                    select date_bin(interval '1 day', latest.chunk_started_at, timestamptz '2000-01-01 00:00:00+00')
                    from {{ ref('stg_video_events__event_chunks') }} as latest
                    where
                        latest.source_id = differences.source_id
                        and latest.chunk_started_at < {{ batch.recount_until }}
                        and {{ is_visible(batch.hi, 'latest') }}
                    order by latest.chunk_started_at desc
                    limit 1
                )
        ) as last_event on true
    )

    select
        named.*,
        named.event_count = 0 as is_removed
    from ({{ named_source_totals('totals') | indent(4) }}) as named
{% endmacro %}


{% macro named_source_totals(totals) %}
    select
        totals.source_id,
        sources.source_name,
        totals.event_count::bigint as event_count,
        totals.first_event_at,
        totals.last_event_at
    from {{ totals }} as totals
    inner join {{ ref('stg_video_events__sources') }} as sources on totals.source_id = sources.source_id
{% endmacro %}
