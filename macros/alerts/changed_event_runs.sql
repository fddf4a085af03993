{% macro changed_event_runs(stored, batch) %}
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
            offset 0
        ) as events
    ),

    runs as (
        {{ event_runs('bucket_events') | indent(8) }}
    ),

    replacements as materialized (
        {{ runs_worth_keeping('runs') | indent(8) }}
    ),

    vanished as (
        select
            stored.source_id,
            stored.first_event_type,
            stored.started_at
        from changed_buckets
        cross join lateral (
            select runs.*
            from {{ stored }} as runs
            where
                runs.source_id = changed_buckets.source_id
                and runs.started_at >= changed_buckets.bucket_started_at
                and runs.started_at < changed_buckets.bucket_started_at + {{ run_bucket() }}
            offset 0
        ) as stored
        except
        select
            source_id,
            first_event_type,
            started_at
        from replacements
    )

    select
        source_id,
        category,
        first_event_type,
        event_count,
        is_first_in_bucket,
        is_last_in_bucket,
        bucket_started_at,
        started_at,
        ended_at
    from replacements

    union all

    select
        source_id,
        '' as category,
        first_event_type,
        0 as event_count,
        false as is_first_in_bucket,
        false as is_last_in_bucket,
        started_at as bucket_started_at,
        started_at,
        started_at as ended_at
    from vanished
{% endmacro %}
