{% macro parts_within(extents, relation, key, batch) %}
    {%- if 'source_id' in key -%}
    select buckets.*
    from {{ extents }} as extents
    cross join lateral (
        {{ event_buckets(
            "(
                select *
                from " ~ relation ~ " as history
                where
                    history.source_id = extents.source_id
                    and history.category = extents.category
                    and " ~ chunks_between(
                        'history', 'extents.started_at', ['extents.ended_at', batch.recount_until]
                    ) ~ "
                    and history.occurred_at between extents.started_at and extents.ended_at
                    and history.occurred_at <= " ~ batch.recount_until ~ "
                    and " ~ visible_at(batch.hi, 'history') ~ "
            ) as events"
        ) | indent(8) }}
        {{ fence() }}
    ) as buckets
    where extents.is_recount_needed
    {%- else -%}
    select
        periods.source_id,
        periods.category,
        periods.event_count,
        false as is_recount_needed,
        periods.started_at,
        periods.ended_at
    from {{ extents }} as extents
    cross join lateral (
        select stored.*
        from {{ relation }} as stored
        where
            stored.category = extents.category
            and stored.started_at between extents.started_at and extents.ended_at
        {{ fence() }}
    ) as periods
    where extents.is_recount_needed
    {%- endif %}
{% endmacro %}
