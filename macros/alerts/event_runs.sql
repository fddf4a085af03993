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


{#-
    SQL expression: the times of the first events of a piece `stored` that an earlier version has stored without them, from
    the raw events that it has taken note of. Where these were dropped, only the first one is known; see `keep_times_of_alerts`.
-#}
{% macro first_event_times_of_stored(lo, dropped_before) %}
    case
        when stored.started_at < {{ dropped_before }} then array[stored.started_at]
        else array(
            select history.occurred_at
            from {{ ref('stg_video_events__event_history') }} as history
            where
                history.source_id = stored.source_id
                and {{ chunks_between('history', 'stored.started_at', ['stored.ended_at']) }}
                and history.occurred_at between stored.started_at and stored.ended_at
                and (history.occurred_at, history.event_type collate "C")
                >= (stored.started_at, stored.first_event_type collate "C")
                and {{ visible_at(lo, 'history') }}
            order by history.occurred_at, history.event_type collate "C"
            limit least(
                stored.event_count,
                (
                    select coalesce(max(rules.threshold), 0)
                    from {{ ref('stg_video_events__alert_rules') }} as rules
                    where
                        rules.kind = 'consecutive'
                        and rules.category = stored.category
                )
            )
        )
    end
{% endmacro %}


{#-
    Of pieces whose raw events were dropped, the times at which alerts were triggered, from these: nothing before can change any
    more, so nobody will ask for others. Each piece has one alert of a rule at most.
-#}
{% macro keep_times_of_alerts(relation, alerts, dropped_before) %}
    {%- for rule in run_query(
        "select rules.rule_name from " ~ ref('stg_video_events__alert_rules') ~ " as rules where rules.kind = 'consecutive'"
    ) -%}
        {%- call statement('keep_times_of_alerts') -%}
            update {{ relation }} as stored
            set first_event_times[rules.threshold - counted.earlier_event_count] = runs.triggered_at
            from {{ alerts }} as runs
            inner join {{ ref('stg_video_events__alert_rules') }} as rules on runs.rule_name = rules.rule_name
            cross join lateral (
                {{ first_pieces_of_run(relation) | indent(16) }}
            ) as counted
            where
                rules.rule_name = {{ dbt.string_literal(dbt.escape_single_quotes(rule['rule_name'])) }}
                and {{ is_of_kind('runs', 'consecutive') }}
                and runs.triggered_at < {{ dropped_before }}
                and counted.earlier_event_count < rules.threshold
                and counted.earlier_event_count + counted.event_count >= rules.threshold
                and stored.source_id = runs.source_id
                and {{ same_key('stored', 'counted', ['started_at', 'first_event_type']) }}
        {%- endcall -%}
    {%- endfor -%}
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
