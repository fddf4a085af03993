{% macro event_runs(events, day=none) %}
    {#-
        The order in a source is that of (time, event type): content only, never arrival. Events that are
        equal in both are of one category, and may stand in any order. No windows: the events of a bucket
        become two arrays, and a run is a slice of them. See docs/decisions/0053.
    -#}
    {%- set category_numbers = 'by_type.category_numbers' if is_distributed() else '(select by_type.category_numbers from by_type)' -%}
    with

    types as materialized (
        select
            event_types.event_type_id,
            event_types.event_type,
            event_types.category,
            rank() over (order by event_types.event_type collate "C") as place,
            dense_rank() over (order by event_types.category) as category_number
        from {{ ref('stg_video_events__event_types') }} as event_types
    ),

    {#- By the id of the type, without nulls: PostgreSQL then finds an element without looking at those before it. #}
    by_type as materialized (
        select
            array_agg(coalesce(types.place, 0)::smallint order by ids.event_type_id) as places,
            array_agg(coalesce(types.category_number, 0)::smallint order by ids.event_type_id) as category_numbers
        from generate_series(1, (select max(types.event_type_id) from types)) as ids (event_type_id)
        left join types on ids.event_type_id = types.event_type_id
    ),

    {#- A join with the types would lose the order in which events come from `day`. #}
    events_in_order as (
        select
            events.source_id,
            {%- if day %}
            events.{{ day }},
            {%- endif %}
            {{ _run_bucket('events.occurred_at') }} as bucket_started_at,
            events.event_type_id,
            events.occurred_at
        {%- if is_distributed() %},
            by_type.places[events.event_type_id] as place
        from {{ events }} as events
        cross join by_type
        {%- else %}
        from {{ events }} as events
        order by
            events.source_id,
            {%- if day %}
            events.{{ day }},
            {%- endif %}
            bucket_started_at,
            events.occurred_at,
            (select by_type.places from by_type)[events.event_type_id]
        {{ fence() }}
        {%- endif %}
    ),

    {#-
        In the order in which they come; to say it once more would have PostgreSQL 15 sort each bucket twice. Citus takes
        no order of rows that are to be grouped.
    #}
    {%- set in_order = 'order by occurred_at, place' if is_distributed() %}
    buckets as (
        select
            source_id,
            bucket_started_at,
            array_agg(event_type_id {{ in_order }}) as event_type_ids,
            array_agg(occurred_at {{ in_order }}) as event_times
        from events_in_order
        group by
            source_id,
            {%- if day %}
            {{ day }},
            {%- endif %}
            bucket_started_at
    ),

    {#- The fence: where runs begin is worked out once, and not each time that it is asked for. #}
    parted_buckets as (
        select
            buckets.*,
            array(
                select places.place
                from (select generate_subscripts(buckets.event_type_ids, 1) as place) as places
                where
                    places.place = 1
                    or {{ category_numbers }}[buckets.event_type_ids[places.place]]
                    <> {{ category_numbers }}[buckets.event_type_ids[places.place - 1]]
            ) as first_places
        from buckets
        {{ 'cross join by_type' if is_distributed() else fence() }}
    ),

    numbered_runs as (
        select
            parted_buckets.*,
            unnest(parted_buckets.first_places) as first_place,
            generate_subscripts(parted_buckets.first_places, 1) as run_number
        from parted_buckets
    ),

    runs as (
        select
            *,
            coalesce(first_places[run_number + 1] - 1, cardinality(event_times)) as last_place
        from numbered_runs
    )

    select
        runs.source_id,
        types.category,
        types.event_type as first_event_type,
        (runs.last_place - runs.first_place + 1)::bigint as event_count,
        runs.run_number = 1 as is_first_in_bucket,
        runs.run_number = cardinality(runs.first_places) as is_last_in_bucket,
        runs.event_times[runs.first_place : runs.last_place] as first_event_times,
        runs.bucket_started_at,
        runs.event_times[runs.first_place] as started_at,
        runs.event_times[runs.last_place] as ended_at
    from runs
    inner join types on runs.event_type_ids[runs.first_place] = types.event_type_id
{% endmacro %}


{% macro runs_worth_keeping(runs) %}
    {#-
        A short run in the middle of its bucket can neither be an alert nor become part of one. Of the
        others the first events are known by their times, as many as the longest rule counts.
    -#}
    select
        runs.source_id,
        runs.category,
        runs.first_event_type,
        runs.event_count,
        runs.is_first_in_bucket,
        runs.is_last_in_bucket,
        runs.first_event_times[: coalesce(thresholds.highest, 0)] as first_event_times,
        runs.bucket_started_at,
        runs.started_at,
        runs.ended_at
    from {{ runs }} as runs
    left join (
        select
            rules.category,
            min(rules.threshold) as lowest,
            max(rules.threshold) as highest
        from {{ ref('stg_video_events__alert_rules') }} as rules
        where rules.kind = 'consecutive'
        group by rules.category
    ) as thresholds on runs.category = thresholds.category
    where
        runs.is_first_in_bucket
        or runs.is_last_in_bucket
        or runs.event_count >= thresholds.lowest
{% endmacro %}


{#- SQL expression: the start of the stretch of ten minutes that a time lies in, or, without an argument, the length of one. -#}
{% macro _run_bucket(occurred_at=none) -%}
    {#- Long enough that few runs are cut, short enough that recomputing one is nothing. -#}
    {%- if occurred_at -%}
    date_bin(interval '10 minutes', {{ occurred_at }}, timestamptz '2000-01-01 00:00:00+00')
    {%- else -%}
    interval '10 minutes'
    {%- endif -%}
{%- endmacro %}


{% macro changes_of_int_event_runs(stored, batch) %}
    with

    changed_events as (
        {{ changed_events(batch) | indent(8) }}
    ),

    changed_buckets as materialized (
        select distinct
            source_id,
            {{ _run_bucket('occurred_at') }} as bucket_started_at
        from changed_events
    ),

    bucket_events as (
        select events.*
        from {{ at_nodes('changed_buckets', batch) }} as changed_buckets
        cross join lateral (
            select
                history.source_id,
                history.event_type_id,
                history.occurred_at
            from {{ ref('stg_video_events__event_history') }} as history
            where
                history.source_id = changed_buckets.source_id
                and {{ chunks_between(
                    'history',
                    'changed_buckets.bucket_started_at',
                    ['changed_buckets.bucket_started_at + ' ~ _run_bucket()],
                ) }}
                and history.occurred_at >= changed_buckets.bucket_started_at
                and history.occurred_at < changed_buckets.bucket_started_at + {{ _run_bucket() }}
                {%- if batch.since %}
                {#- For PostgreSQL, which does not know that there is no earlier bucket. #}
                and {{ chunks_between('history', _run_bucket(batch.since)) }}
                {%- endif %}
                and {{ is_visible(batch.hi, 'history') }}
            {{ fence() }}
        ) as events
    ),

    runs as (
        {{ event_runs('bucket_events') | indent(8) }}
    )

    select
        runs.*,
        false as is_removed
    from ({{ runs_worth_keeping('runs') | indent(4) }}) as runs

    union all

    select
        stored.source_id,
        stored.category,
        stored.first_event_type,
        stored.event_count,
        stored.is_first_in_bucket,
        stored.is_last_in_bucket,
        stored.first_event_times,
        stored.bucket_started_at,
        stored.started_at,
        stored.ended_at,
        true as is_removed
    from {{ at_nodes('changed_buckets', batch) }} as changed_buckets
    cross join lateral (
        select runs.*
        from {{ stored }} as runs
        where
            runs.source_id = changed_buckets.source_id
            and runs.started_at >= changed_buckets.bucket_started_at
            and runs.started_at < changed_buckets.bucket_started_at + {{ _run_bucket() }}
        {{ fence() }}
    ) as stored
{% endmacro %}
