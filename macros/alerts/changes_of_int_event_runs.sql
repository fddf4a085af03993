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
