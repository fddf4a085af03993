{% macro event_runs(events) %}
    {#-
        The order in a source is that of (time, event type): content only, never arrival. Events that are
        equal in both are of one category, and may stand in any order. A run is known by the position of its
        first event, so that one sort of texts is enough.
    -#}
    select
        runs.source_id,
        runs.category,
        runs.first_event_type,
        runs.event_count,
        (lag(runs.bucket_started_at) over in_order is distinct from runs.bucket_started_at) as is_first_in_bucket,
        (lead(runs.bucket_started_at) over in_order is distinct from runs.bucket_started_at) as is_last_in_bucket,
        runs.first_event_times,
        runs.bucket_started_at,
        runs.started_at,
        runs.ended_at
    from (
        select
            numbered.source_id,
            numbered.first_position,
            min(numbered.category) filter (where numbered.position = numbered.first_position) as category,
            min(numbered.event_type) filter (where numbered.position = numbered.first_position) as first_event_type,
            count(*) as event_count,
            array_agg(numbered.occurred_at order by numbered.occurred_at) filter (
                where numbered.position < numbered.first_position + (
                    select coalesce(max(rules.threshold), 1)
                    from {{ ref('stg_video_events__alert_rules') }} as rules
                    where rules.kind = 'consecutive'
                )
            ) as first_event_times,
            {{ run_bucket('min(numbered.occurred_at)') }} as bucket_started_at,
            min(numbered.occurred_at) as started_at,
            max(numbered.occurred_at) as ended_at
        from (
            select
                ordered.*,
                max(ordered.position) filter (
                    where
                        ordered.previous_category is distinct from ordered.category
                        or ordered.previous_at < {{ run_bucket('ordered.occurred_at') }}
                ) over (
                    partition by ordered.source_id
                    order by ordered.occurred_at, ordered.event_type collate "C"
                    rows unbounded preceding
                ) as first_position
            from (
                select
                    events.source_id,
                    events.category,
                    events.event_type,
                    events.occurred_at,
                    row_number() over in_order as position,
                    lag(events.category) over in_order as previous_category,
                    lag(events.occurred_at) over in_order as previous_at
                from {{ events }} as events
                window in_order as (
                    partition by events.source_id
                    order by events.occurred_at, events.event_type collate "C"
                )
            ) as ordered
        ) as numbered
        group by numbered.source_id, numbered.first_position
    ) as runs
    window in_order as (partition by runs.source_id order by runs.first_position)
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


{% macro run_bucket(occurred_at=none) -%}
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
            {{ run_bucket('occurred_at') }} as bucket_started_at
        from changed_events
    ),

    bucket_events as (
        select events.*
        from changed_buckets
        cross join lateral (
            select
                history.source_id,
                history.category,
                history.event_type,
                history.occurred_at
            from {{ ref('stg_video_events__event_history') }} as history
            where
                history.source_id = changed_buckets.source_id
                and {{ chunks_between(
                    'history',
                    'changed_buckets.bucket_started_at',
                    ['changed_buckets.bucket_started_at + ' ~ run_bucket()],
                ) }}
                and history.occurred_at >= changed_buckets.bucket_started_at
                and history.occurred_at < changed_buckets.bucket_started_at + {{ run_bucket() }}
                {%- if batch.since %}
                {#- For PostgreSQL, which does not know that there is no earlier bucket. #}
                and {{ chunks_between('history', run_bucket(batch.since)) }}
                {%- endif %}
                and {{ visible_at(batch.hi, 'history') }}
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
    from changed_buckets
    cross join lateral (
        select runs.*
        from {{ stored }} as runs
        where
            runs.source_id = changed_buckets.source_id
            and runs.started_at >= changed_buckets.bucket_started_at
            and runs.started_at < changed_buckets.bucket_started_at + {{ run_bucket() }}
        {{ fence() }}
    ) as stored
{% endmacro %}
