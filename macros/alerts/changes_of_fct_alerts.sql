{% macro changes_of_fct_alerts(stored, batch, runs=none, newer_periods=none) %}
    {%- set runs = runs or ref('int_event_runs') -%}
    {%- set periods = ref('fct_activity_periods') -%}
    with

    changed_events as materialized (
        {#-
            Also what came and went: the models this one follows may be further on than hi, one more
            than the other, and the alerts made from them then know of loads after hi.
        #}
        {{ changed_events(batch, is_net=false) | indent(8) }}
    ),

    changed_buckets as (
        {{ event_buckets('changed_events', is_signed=true) | indent(8) }}
    ),

    islands as materialized (
        {{ merge_periods('changed_buckets', ['source_id', 'category']) | indent(8) }}
    ),

    touched_periods as materialized (
        {{ touched_periods('islands', periods, ['source_id', 'category']) | indent(8) }}
    ),

    changed_periods as materialized (
        {%- if newer_periods %}
        {{
            with_changes(
                stored='touched_periods',
                changes=newer_periods,
                key=['source_id', 'category', 'started_at'],
                columns=['source_id', 'category', 'event_count', 'started_at', 'ended_at'],
            ) | indent(8)
        }}
        {%- else %}
        select * from touched_periods
        {%- endif %}
    ),

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
            {{ fence() }}
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
        {{ joined_runs('pieces') | indent(8) }}
    ),

    alerts as (
        {{ consecutive_alerts('runs', runs) | indent(8) }}
        union all
        {{ presence_alerts('changed_periods') | indent(8) }}
    ),

    {#- Where a stored presence alert may be outdated. #}
    period_extents as (
        {%- for extents in ['islands', 'touched_periods', newer_periods] if extents %}
        {{ 'union all' if not loop.first }}
        select
            source_id,
            category,
            started_at,
            ended_at
        from {{ extents }}
        {%- endfor %}
    ),

    outdated as (
        select stored.*
        from run_extents
        cross join lateral (
            select alerts.*
            from {{ stored }} as alerts
            where
                not {{ is_presence('alerts') }}
                and {{ is_within_extent('run_extents', 'alerts') | indent(16) }}
                and not {{ is_separator('run_extents', 'alerts') | indent(16) }}
            {{ fence() }}
        ) as stored

        union all

        select stored.*
        from period_extents
        cross join lateral (
            select alerts.*
            from {{ stored }} as alerts
            where
                {{ is_presence('alerts') }}
                and {{ same_key('alerts', 'period_extents', ['source_id', 'category']) }}
                and alerts.started_at between period_extents.started_at and period_extents.ended_at
            {{ fence() }}
        ) as stored
    )

    {% for alerts in ['alerts', 'outdated'] -%}
    {{ 'union all' if not loop.first }}
    select
        named.*,
        {{ 'true' if alerts == 'outdated' else 'false' }} as is_removed
    from ({{ named_alerts(alerts) | indent(4) }}) as named
    {% endfor %}
{% endmacro %}
