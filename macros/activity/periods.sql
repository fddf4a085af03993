{% macro periods_of(events, key, is_signed=false, gap=none) %}
    {%- set buckets -%}
    (
        {{ _event_buckets(events, is_signed, gap) | indent(8) }}
    )
    {%- endset -%}
    {{ merge_periods(buckets, key, gap) }}
{% endmacro %}


{#- Query: events grouped by source, category and stretch as long as the shortest gap: parts for `merge_periods`. -#}
{% macro _event_buckets(events, is_signed=false, gap=none) %}
    {#-
        Two events of one bucket are always in one period, because a bucket is no longer than the
        gap of any category: what remains to be sorted is far less than the events.
    -#}
    select
        bucketed.source_id,
        bucketed.category,
        count(*) as event_count,
        bool_or(bucketed.sign < 0) as is_recount_needed,
        min(bucketed.occurred_at) as started_at,
        max(bucketed.occurred_at) as ended_at
    from (
        select
            source_id,
            category,
            occurred_at,
            {{ 'sign' if is_signed else '1 as sign' }},
            date_bin({{ gap or 'least_gap.gap' }}, occurred_at, timestamptz '2000-01-01 00:00:00+00') as bucket
        from {{ events }}
        {%- if not gap %}
        cross join ({{ any_activity_gap('least') | indent(8) }}) as least_gap
        {%- endif %}
        {#- PostgreSQL would expect as many buckets as events, and sort instead of hash. #}
        {{ fence(in_parallel=not is_signed, is_lookup=false) }}
    ) as bucketed
    group by
        bucketed.source_id,
        bucketed.category,
        bucketed.bucket
{% endmacro %}


{% macro merge_periods(parts, key, gap=none) %}
    select
        {{ key | join(', ') }},
        sum(event_count)::bigint as event_count,
        {%- if 'source_id' not in key %}
        array_agg(distinct source_id order by source_id) as source_ids,
        {%- endif %}
        bool_or(is_recount_needed) as is_recount_needed,
        min(started_at) as started_at,
        max(ended_at) as ended_at
    from (
        select
            gaps.*,
            {#- The default frame has all equal rows in it: they get one number, in any order. #}
            count(*) filter (where gaps.is_first) over (
                partition by {{ key | join(', ') }}
                order by gaps.started_at, gaps.ended_at
            ) as period_number
        from (
            select
                parts.*,
                coalesce(
                    parts.started_at - max(parts.ended_at) over (
                        partition by parts.{{ key | join(', parts.') }}
                        order by parts.started_at, parts.ended_at
                        rows between unbounded preceding and 1 preceding
                    ) >= {{ gap or activity_gap('categories') }},
                    true
                ) as is_first
            from {{ parts }} as parts
            {%- if not gap %}
            {#- The fence: few rows, and not looked up one by one. #}
            left join (select * from {{ ref('categories') }} {{ fence(is_lookup=false) }}) as categories on parts.category = categories.category
            {%- endif %}
        ) as gaps
    ) as numbered
    group by {{ key | join(', ') }}, period_number
{% endmacro %}


{% macro parts_of_each_source(periods) %}
    select
        members.source_id,
        periods.category,
        {#- Each source of the period, but its events once. #}
        case when members.position = 1 then periods.event_count else 0 end as event_count,
        false as is_recount_needed,
        periods.started_at,
        periods.ended_at
    from {{ periods }} as periods
    cross join lateral unnest(periods.source_ids) with ordinality as members (source_id, position)
{% endmacro %}


{% macro activity_gap(categories=none) -%}
    {%- set usual = hours_of("interval " ~ var_literal("activity_gap")) -%}
    {{ "coalesce(" ~ categories ~ ".activity_gap, " ~ usual ~ ")" if categories else usual }}
{%- endmacro %}


{% macro any_activity_gap(choice) -%}
    {#- A query, not an expression: that would be worked out for each row, or keep all of them from parallel workers. -#}
    select
        {{ choice }}(
            {{ activity_gap() }},
            {{ hours_of({'least': 'min', 'greatest': 'max'}[choice] ~ '(gaps.activity_gap)') }}
        ) as gap
    from {{ ref('categories') }} as gaps
{%- endmacro %}


{#- Query: rows, with the gap of their category as `activity_gap`. -#}
{% macro _with_activity_gap(rows) %}
    select
        found.*,
        {{ hours_of(activity_gap('categories')) }} as activity_gap
    from {{ rows }} as found
    left join {{ ref('categories') }} as categories on found.category = categories.category
{% endmacro %}


{% macro named_activity_periods(periods, of_batch=false) %}
    select
        {{ deterministic_id(['periods.source_id', 'periods.category'], 'periods.started_at') }}
            as activity_period_id,
        periods.source_id,
        sources.source_name,
        periods.category,
        periods.event_count::bigint as event_count,
        periods.started_at,
        periods.ended_at,
        periods.ended_at - periods.started_at as duration,
        {{ seconds_of('periods.ended_at - periods.started_at') }} as duration_seconds
        {%- if of_batch %},
        periods.is_removed
        {%- endif %}
    from {{ periods }} as periods
    inner join {{ ref('stg_video_events__sources') }} as sources on periods.source_id = sources.source_id
{% endmacro %}


{% macro named_category_activity_periods(periods, of_batch=false) %}
    {#- Few sets of sources occur in many periods: each is looked up once. What vanishes has none. -#}
    select
        {{ deterministic_id(['periods.category'], 'periods.started_at') }} as category_activity_period_id,
        periods.category,
        periods.source_ids,
        cardinality(periods.source_ids) as source_count,
        periods.event_count::bigint as event_count,
        periods.started_at,
        periods.ended_at,
        periods.ended_at - periods.started_at as duration,
        {{ seconds_of('periods.ended_at - periods.started_at') }} as duration_seconds,
        coalesce(names.source_names, '') as source_names
        {%- if of_batch %},
        periods.is_removed
        {%- endif %}
    from {{ periods }} as periods
    left join (
        {#- Grouped by a number: a row for each source would take the whole set along. #}
        select
            array_agg(sources.source_id order by sources.source_id) as source_ids,
            string_agg(sources.source_name, ', ' order by sources.source_id) as source_names
        from (
            select
                found.source_ids,
                row_number() over () as set_number
            from (select distinct source_ids from {{ periods }}) as found
        ) as sets
        cross join lateral unnest(sets.source_ids) as members (source_id)
        inner join {{ ref('stg_video_events__sources') }} as sources on members.source_id = sources.source_id
        group by sets.set_number
    ) as names on periods.source_ids = names.source_ids
{% endmacro %}
