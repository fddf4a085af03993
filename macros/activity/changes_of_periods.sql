{% macro changes_of_fct_activity_periods(stored, batch) %}
    with

    periods as (
        {{
            _changed_periods(
                stored=stored,
                key=['source_id', 'category'],
                batch=batch,
                recount_from=ref('stg_video_events__event_history'),
            ) | indent(8)
        }}
    )

    {{ named_activity_periods('periods', of_batch=true) | indent(4) }}
{% endmacro %}


{% macro changes_of_fct_category_activity_periods(stored, batch, source_periods=none) %}
    with

    periods as (
        {{
            _changed_periods(
                stored=stored,
                key=['category'],
                batch=batch,
                recount_from=source_periods or ref('fct_activity_periods'),
            ) | indent(8)
        }}
    )

    {{ named_category_activity_periods('periods', of_batch=true) | indent(4) }}
{% endmacro %}


{#-
    Query: the periods that a batch changes, with `is_removed` for the stored ones that go. New events are
    merged with the stored periods they touch; a period that lost an event is computed anew from
    `recount_from` within its extent.
-#}
{% macro _changed_periods(stored, key, batch, recount_from) %}
    {%- set is_across_sources = 'source_id' not in key -%}
    with

    changed_events as (
        {{ changed_events(batch) | indent(8) }}
    ),

    changed_buckets as materialized (
        {{ _event_buckets('changed_events', is_signed=true) | indent(8) }}
    ),

    islands as materialized (
        {{ merge_periods('changed_buckets', key) | indent(8) }}
    ),

    touched as materialized (
        {{ touched_periods('islands', stored, key, batch) | indent(8) }}
    ),

    parts as (
        select
            source_id,
            category,
            event_count,
            is_recount_needed,
            started_at,
            ended_at
        from changed_buckets

        union all

        {% if is_across_sources -%}
        {{ parts_of_each_source('touched') | indent(8) }}
        {%- else -%}
        select
            source_id,
            category,
            event_count,
            false as is_recount_needed,
            started_at,
            ended_at
        from touched
        {%- endif %}
    ),

    merged as materialized (
        {{ merge_periods('parts', key) | indent(8) }}
    ),

    {#- Events that were withdrawn may have held a period together: only a look at what is left tells. #}
    left_over as (
        {{ _parts_within('merged', recount_from, key, batch) | indent(8) }}
        {%- if not is_across_sources %}
        union all
        {{ _dropped_parts('touched', 'merged', recount_from, key, batch) | indent(8) }}
        {%- endif %}
    ),

    recounted as (
        {{ merge_periods('left_over', key) | indent(8) }}
    ),

    replacements as (
        select * from merged
        where not is_recount_needed
        union all
        select * from recounted
    )

    {% for periods in ['replacements', 'touched'] -%}
    {{ 'union all' if not loop.first }}
    select
        {{ key | join(', ') }},
        event_count,
        {% if is_across_sources %}source_ids,
        {% endif -%}
        {{ 'true' if periods == 'touched' else 'false' }} as is_removed,
        started_at,
        ended_at
    from {{ periods }}
    {% endfor %}
{% endmacro %}


{% macro touched_periods(islands, stored, key, batch) %}
    {#-
        An index scan or two per island, whatever the size of history: stored periods do not
        overlap, so at most the last one that starts before an island can reach into it.
    -#}
    {%- set with_gap -%}
    (
        {{ _with_activity_gap(islands) | indent(8) }}
    )
    {%- endset -%}
    select distinct on ({{ key | join(', ') }}, started_at)
        {% for column in key %}touched.{{ column }},
        {% endfor -%}
        touched.event_count,
        {% if 'source_id' not in key %}touched.source_ids,
        {% endif -%}
        touched.started_at,
        touched.ended_at
    {#- Category periods are at the coordinator. #}
    from {{ at_nodes(with_gap, batch) if 'source_id' in key else with_gap }} as islands
    cross join lateral (
        select stored.*
        from {{ stored }} as stored
        where
            {{ same_key('stored', 'islands', key) }}
            and stored.started_at < islands.ended_at + islands.activity_gap
            and stored.started_at >= coalesce(
                (
                    select max(earlier.started_at)
                    from {{ stored }} as earlier
                    where
                        {{ same_key('earlier', 'islands', key) }}
                        and earlier.started_at <= islands.started_at
                ),
                islands.started_at
            )
            and stored.ended_at > islands.started_at - islands.activity_gap
        {{ fence() }}
    ) as touched
{% endmacro %}


{#- Query: the parts that are left, at `hi`, within the extents that need a recount. -#}
{% macro _parts_within(extents, relation, key, batch) %}
    {%- if 'source_id' in key -%}
    select buckets.*
    from {{ at_nodes(extents, batch) }} as extents
    cross join lateral (
        {{ _event_buckets(
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
                    and " ~ is_visible(batch.hi, 'history') ~ "
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
        {{ fence(is_lookup=false) }}
    ) as periods
    where extents.is_recount_needed
    {%- endif %}
{% endmacro %}


{#- Query: of the periods that need a recount, the parts whose raw events were dropped. See ADR 10. -#}
{% macro _dropped_parts(stored, extents, relation, key, batch) %}
    {#-
        Of a period that began before raw events were dropped, what cannot be read any more: the
        stored count, less what is still there. Its last event is less than a gap before the first
        one that is still there, and that one cannot be withdrawn, so the two stay one period
        when this part ends where the dropping ended. See docs/decisions/0010.
    -#}
    {%- set begun -%}
    (
        select stored.*
        from {{ stored }} as stored
        inner join {{ extents }} as extents
            on
                {{ same_key('stored', 'extents', key) }}
                and extents.is_recount_needed
                and stored.started_at between extents.started_at and extents.ended_at
        where stored.started_at < {{ batch.dropped_before }}
    )
    {%- endset -%}
    select
        begun.source_id,
        begun.category,
        begun.event_count - still_there.event_count as event_count,
        false as is_recount_needed,
        begun.started_at,
        {{ batch.dropped_before }} as ended_at
    from {{ at_nodes(begun, batch) }} as begun
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
            and {{ is_visible(batch.lo, 'history') }}
        {{ fence() }}
    ) as still_there
{% endmacro %}
