{% macro changed_alerts(stored, batch, runs, changed_periods, changed_extents) %}
    changed_run_buckets as materialized (
        select distinct
            source_id,
            {{ run_bucket('occurred_at') }} as bucket_started_at
        from changed_events
    ),

    run_extents as materialized (
        {{ changed_run_extents('changed_run_buckets', runs) | indent(8) }}
    ),

    pieces as (
        select
            runs.source_id,
            runs.category,
            runs.first_event_type,
            runs.event_count,
            runs.is_first_in_bucket,
            runs.is_last_in_bucket,
            bool_and(runs.is_separator) as is_separator,
            runs.started_at,
            runs.ended_at
        from run_extents
        cross join lateral (
            select
                runs.*,
                {{ is_separator('run_extents', 'runs') | indent(16) }} as is_separator
            from {{ runs }} as runs
            where {{ is_within_extent('run_extents', 'runs') | indent(16) }}
            offset 0
        ) as runs
        group by
            runs.source_id,
            runs.category,
            runs.first_event_type,
            runs.event_count,
            runs.is_first_in_bucket,
            runs.is_last_in_bucket,
            runs.started_at,
            runs.ended_at
    ),

    runs as (
        {{ joined_runs('pieces', batch.dropped_before) | indent(8) }}
    ),

    replacements as materialized (
        {{ consecutive_alerts('runs', batch.hi, stored) | indent(8) }}
        union all
        {{ presence_alerts(changed_periods) | indent(8) }}
    ),

    outdated as (
        select
            stored.rule_name,
            stored.source_id,
            stored.first_event_type,
            stored.started_at
        from run_extents
        cross join lateral (
            select alerts.*
            from {{ stored }} as alerts
            where
                alerts.first_event_type <> ''
                and {{ is_within_extent('run_extents', 'alerts') | indent(16) }}
                and not {{ is_separator('run_extents', 'alerts') | indent(16) }}
            offset 0
        ) as stored

        union

        select
            stored.rule_name,
            stored.source_id,
            stored.first_event_type,
            stored.started_at
        from {{ changed_extents }} as extents
        cross join lateral (
            select alerts.*
            from {{ stored }} as alerts
            where
                alerts.first_event_type = ''
                and alerts.source_id = extents.source_id
                and alerts.category = extents.category
                and alerts.started_at between extents.started_at and extents.ended_at
            offset 0
        ) as stored
    ),

    vanished as (
        select * from outdated
        except
        select
            rule_name,
            source_id,
            first_event_type,
            started_at
        from replacements
    ),

    changed_alerts as (
        select
            rule_name,
            source_id,
            category,
            first_event_type,
            event_count,
            started_at,
            triggered_at,
            ended_at
        from replacements

        union all

        select
            rule_name,
            source_id,
            '' as category,
            first_event_type,
            0 as event_count,
            started_at,
            started_at as triggered_at,
            started_at as ended_at
        from vanished
    )
{% endmacro %}
