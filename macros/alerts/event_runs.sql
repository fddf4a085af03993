{% macro event_runs(events) %}
    {#-
        The order in a source is that of (time, event type): content only, never arrival. The
        default frame of the count gives events that are equal in both the same number.
    -#}
    select
        numbered.source_id,
        numbered.category,
        min(numbered.event_type) filter (where numbered.is_start) as first_event_type,
        count(*) as event_count,
        numbered.run_number = 1 as is_first_in_bucket,
        numbered.run_number = max(numbered.run_number) over (
            partition by numbered.source_id, numbered.bucket_started_at
        ) as is_last_in_bucket,
        array_agg(numbered.occurred_at order by numbered.occurred_at) as first_event_times,
        numbered.bucket_started_at,
        min(numbered.occurred_at) as started_at,
        max(numbered.occurred_at) as ended_at
    from (
        select
            marked.*,
            count(*) filter (where marked.is_start) over (
                partition by marked.source_id, marked.bucket_started_at
                order by marked.occurred_at, marked.event_type collate "C"
            ) as run_number
        from (
            select
                bucketed.*,
                (
                    lag(bucketed.category) over (
                        partition by bucketed.source_id, bucketed.bucket_started_at
                        order by bucketed.occurred_at, bucketed.event_type collate "C"
                    ) is distinct from bucketed.category
                ) as is_start
            from (
                select
                    events.source_id,
                    events.category,
                    events.event_type,
                    events.occurred_at,
                    {{ run_bucket('events.occurred_at') }} as bucket_started_at
                from {{ events }} as events
            ) as bucketed
        ) as marked
    ) as numbered
    group by
        numbered.source_id,
        numbered.bucket_started_at,
        numbered.category,
        numbered.run_number
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
        from {{ ref('alert_rules') }} as rules
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
