{% macro changed_periods(stored, key, batch, recount_from) %}
    {%- set is_across_sources = 'source_id' not in key -%}
    with

    changed_events as (
        {{ changed_events(batch) | indent(8) }}
    ),

    changed_buckets as materialized (
        {{ event_buckets('changed_events', is_signed=true) | indent(8) }}
    ),

    islands as materialized (
        {{ merge_periods('changed_buckets', key) | indent(8) }}
    ),

    touched as materialized (
        {{ touched_periods('islands', stored, key) | indent(8) }}
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

        select
            {% if is_across_sources -%}
            members.source_id,
            touched.category,
            {#- Each source of the period, but its events once. #}
            case when members.position = 1 then touched.event_count else 0 end as event_count,
            {%- else -%}
            touched.source_id,
            touched.category,
            touched.event_count,
            {%- endif %}
            false as is_recount_needed,
            touched.started_at,
            touched.ended_at
        from touched
        {%- if is_across_sources %}
        cross join lateral unnest(touched.source_ids) with ordinality as members (source_id, position)
        {%- endif %}
    ),

    merged as materialized (
        {{ merge_periods('parts', key) | indent(8) }}
    ),

    {#- Events that were withdrawn may have held a period together: only a look at what is left tells. #}
    left_over as (
        {{ parts_within('merged', recount_from, key, batch) | indent(8) }}
        {%- if not is_across_sources %}
        union all
        {{ dropped_parts('touched', 'merged', recount_from, key, batch) | indent(8) }}
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

    select
        {{ key | join(', ') }},
        event_count,
        {% if is_across_sources %}source_ids,
        {% endif -%}
        false as is_removed,
        started_at,
        ended_at
    from replacements

    union all

    select
        {{ key | join(', ') }},
        event_count,
        {% if is_across_sources %}source_ids,
        {% endif -%}
        true as is_removed,
        started_at,
        ended_at
    from touched
{% endmacro %}
