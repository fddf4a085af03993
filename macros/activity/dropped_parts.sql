{% macro dropped_parts(stored, extents, relation, key, batch) %}
    {#-
        Of a period that began before raw events were dropped, what cannot be read any more: the
        stored count, less what is still there. Its last event is less than a gap before the first
        one that is still there, and that one cannot be withdrawn, so the two stay one period
        when this part ends where the dropping ended. See docs/decisions/0010.
    -#}
    select
        begun.source_id,
        begun.category,
        begun.event_count - still_there.event_count as event_count,
        false as is_recount_needed,
        begun.started_at,
        {{ batch.dropped_before }} as ended_at
    from {{ stored }} as begun
    inner join {{ extents }} as extents
        on
            {{ same_key('begun', 'extents', key) }}
            and extents.is_recount_needed
            and begun.started_at between extents.started_at and extents.ended_at
    cross join lateral (
        select count(*) as event_count
        from {{ relation }} as history
        where
            {{ same_key('history', 'begun', key) }}
            and {{ chunks_between(
                'history', 'begun.started_at', ['begun.ended_at', batch.recount_until]
            ) }}
            and history.occurred_at between begun.started_at and begun.ended_at
            and history.occurred_at <= {{ batch.recount_until }}
            and {{ visible_at(batch.lo, 'history') }}
        {{ fence() }}
    ) as still_there
    where begun.started_at < {{ batch.dropped_before }}
{% endmacro %}
