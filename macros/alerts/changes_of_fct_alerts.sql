{% macro changes_of_fct_alerts(stored, batch, runs=none, newer_periods=none, newest_periods=none, added_hours=none, newest_hours=none) %}
    {%- set kinds = _kinds_of_rules(batch) -%}
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

    islands as materialized (
        {{ periods_of('changed_events', ['source_id', 'category'], is_signed=true) | indent(8) }}
    ),

    touched_periods as materialized (
        {{ touched_periods('islands', periods, ['source_id', 'category'], batch) | indent(8) }}
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
            {{ _run_bucket('occurred_at') }} as bucket_started_at
        from changed_events
    ),

    run_extents as materialized (
        {{ _changed_run_extents(at_nodes('changed_run_buckets', batch), runs) | indent(8) }}
    ),

    {#- One of several extents may part runs with what is a piece of a run to another one. #}
    pieces as (
        select distinct on (runs.source_id, runs.started_at, runs.first_event_type) runs.*
        from {{ at_nodes('run_extents', batch) }} as run_extents
        cross join lateral (
            select
                runs.*,
                {{ _is_separator('run_extents', 'runs') | indent(16) }} as is_separator
            from {{ runs }} as runs
            where {{ _is_within_extent('run_extents', 'runs') | indent(16) }}
            {{ fence() }}
        ) as runs
        order by
            runs.source_id,
            runs.started_at,
            runs.first_event_type,
            runs.is_separator
    ),

    numbered_pieces as (
        {{ numbered_pieces('pieces') | indent(8) }}
    ),

    {%- if 'absence' in kinds %}

    absence_extents as materialized (
        {{ _absence_extents('islands', newest_periods or periods, batch) | indent(8) }}
    ),
    {%- endif %}
    {%- if 'unusual' in kinds %}

    changed_hours as materialized (
        {{ _changed_hours('changed_events', batch) | indent(8) }}
    ),

    changed_sources as (
        select distinct source_id from changed_hours
    ),

    ends as materialized (
        {{ _ends_of_sources(at_nodes('changed_sources', batch), newest_hours or ref('fct_hourly_detections')) | indent(8) }}
    ),
    {%- endif %}

    alerts as (
        {{ consecutive_alerts('numbered_pieces') | indent(8) }}
        union all
        {{ presence_alerts('changed_periods') | indent(8) }}
        {%- if 'absence' in kinds %}
        union all
        {{ _absences_within(at_nodes('absence_extents', batch), newest_periods or periods) | indent(8) }}
        {%- endif %}
        {%- if 'unusual' in kinds %}
        union all
        select * from ({{ _unusual_alerts_within('changed_hours', 'ends', batch, added_hours) | indent(8) }}) as unusual
        {%- endif %}
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
        {% call _stored_within('run_extents', stored, 'consecutive', batch) -%}
            {{ _is_within_extent('run_extents', 'alerts') | indent(12) }}
            and not {{ _is_separator('run_extents', 'alerts') | indent(12) }}
        {%- endcall %}
        union all
        {% call _stored_within('period_extents', stored, 'presence', batch) -%}
            {{ same_key('alerts', 'period_extents', ['source_id', 'category']) }}
            and alerts.started_at between period_extents.started_at and period_extents.ended_at
        {%- endcall %}
        {%- if 'absence' in kinds %}
        union all
        {% call _stored_within('absence_extents', stored, 'absence', batch) -%}
            {{ same_key('alerts', 'absence_extents', ['source_id', 'rule_name']) }}
            and alerts.started_at between absence_extents.from_at and absence_extents.ended_at
            and alerts.ended_at >= absence_extents.started_at
        {%- endcall %}
        {%- endif %}
        {%- if 'unusual' in kinds %}
        union all
        {% call _stored_within('changed_hours', stored, 'unusual', batch) -%}
            {{ same_key('alerts', 'changed_hours', ['source_id', 'category']) }}
            and alerts.started_at = {{ _local_hour_started_at('changed_hours.local_hour') | indent(12) }}
        {%- endcall %}
        {%- endif %}
    )

    {% for alerts in ['alerts', 'outdated'] -%}
    {{ 'union all' if not loop.first }}
    select
        named.*,
        {{ 'true' if alerts == 'outdated' else 'false' }} as is_removed
    from ({{ named_alerts(alerts) | indent(4) }}) as named
    {% endfor %}
{% endmacro %}


{#- Query: the stored alerts of a kind, looked up for each extent by the condition that the caller gives. -#}
{% macro _stored_within(extents, stored, kind, batch) %}
    select stored.*
    from {{ at_nodes(extents, batch) }} as {{ extents }}
    cross join lateral (
        select alerts.*
        from {{ stored }} as alerts
        where
            {{ is_of_kind('alerts', kind) }}
            and {{ caller() }}
        {{ fence() }}
    ) as stored
{% endmacro %}


{#- What takes time only where a rule asks for it. A live view has all kinds: rules may come after it. -#}
{% macro _kinds_of_rules(batch) %}
    {%- if not execute or not batch.since -%}
        {{ return(['absence', 'unusual']) }}
    {%- endif -%}
    {{ return(run_query(
        "select distinct rules.kind from " ~ ref('stg_video_events__alert_rules') ~ " as rules"
    ).columns[0].values()) }}
{% endmacro %}


{#-
    Query: around each changed bucket, back to the beginning of the run that ends before it and on to
    the end of the run that begins after it. Both walks pass over buckets that lie in the
    run as a whole and stop at the first piece that does not; when that is a piece of another
    category, it separates and is not itself affected.
-#}
{% macro _changed_run_extents(changed_buckets, runs) %}
    select distinct
        changed_buckets.source_id,
        coalesce(before.category <> run_before.category, false) as is_separated_before,
        coalesce(after.category <> run_after.category, false) as is_separated_after,
        coalesce(before.first_event_type, '') as from_event_type,
        coalesce(after.first_event_type, '') as to_event_type,
        coalesce(before.started_at, '-infinity') as from_at,
        coalesce(after.started_at, 'infinity') as to_at
    from {{ changed_buckets }} as changed_buckets
    {%- for side, comparison, direction in [
        ('before', '< changed_buckets.bucket_started_at', 'desc'),
        ('after', '>= changed_buckets.bucket_started_at + ' ~ _run_bucket(), 'asc'),
    ] %}
    {%- for piece in ['run_' ~ side, side] %}
    left join lateral (
        select runs.*
        from {{ runs }} as runs
        where
            runs.source_id = changed_buckets.source_id
            and runs.started_at {{ comparison }}
            {%- if piece == side %}
            and not (
                runs.is_first_in_bucket
                and runs.is_last_in_bucket
                and runs.category = run_{{ side }}.category
            )
            {%- endif %}
        order by runs.started_at {{ direction }}, runs.first_event_type collate "C" {{ direction }}
        limit 1
    ) as {{ piece }} on true
    {%- endfor %}
    {%- endfor %}
{% endmacro %}


{#- SQL condition: a run, or an alert of one, starts within an extent, ends included. -#}
{% macro _is_within_extent(extents, runs) -%}
    {{ runs }}.source_id = {{ extents }}.source_id
    and {{ runs }}.started_at between {{ extents }}.from_at and {{ extents }}.to_at
    {#- Runs that start at one instant stand in the order of their event types. #}
    and ({{ runs }}.started_at, {{ runs }}.first_event_type collate "C")
    >= ({{ extents }}.from_at, {{ extents }}.from_event_type collate "C")
    and ({{ runs }}.started_at, {{ runs }}.first_event_type collate "C")
    <= ({{ extents }}.to_at, {{ extents }}.to_event_type collate "C")
{%- endmacro %}


{#- SQL condition: a run is the piece of another category at an end of an extent. -#}
{% macro _is_separator(extents, runs) -%}
    (
        {{ extents }}.is_separated_before
        and ({{ runs }}.started_at, {{ runs }}.first_event_type)
        = ({{ extents }}.from_at, {{ extents }}.from_event_type)
        or {{ extents }}.is_separated_after
        and ({{ runs }}.started_at, {{ runs }}.first_event_type)
        = ({{ extents }}.to_at, {{ extents }}.to_event_type)
    )
{%- endmacro %}


{#-
    Query: for each rule of absence, the stretches that changed, and the starts of the periods before and
    after them.
-#}
{% macro _absence_extents(islands, periods, batch) %}
    {#-
        A silence that touches no stretch is as it was: both of its ends are there, and nothing between. One that began
        before the stretch began at an event that is still there, within the last period that begins before it.
    -#}
    {%- set rules_by_island -%}
    (
        select
            rules.rule_name,
            rules.min_duration,
            islands.*
        from {{ islands }} as islands
        inner join {{ ref('stg_video_events__alert_rules') }} as rules
            on
                rules.kind = 'absence'
                and islands.category = rules.category
    )
    {%- endset -%}
    select
        islands.rule_name,
        islands.min_duration,
        islands.source_id,
        islands.category,
        islands.started_at,
        islands.ended_at,
        coalesce(period_before.started_at, islands.started_at) as from_at,
        coalesce(period_after.started_at, islands.ended_at) as to_at
    from {{ at_nodes(rules_by_island, batch) }} as islands
    {%- for name, comparison, direction in [('before', '< islands.started_at', 'desc'), ('after', '> islands.ended_at', 'asc')] %}
    left join lateral (
        select periods.started_at
        from {{ periods }} as periods
        where
            {{ same_key('periods', 'islands', ['source_id', 'category']) }}
            and periods.started_at {{ comparison }}
        order by periods.started_at {{ direction }}
        limit 1
    ) as period_{{ name }} on true
    {%- endfor %}
{% endmacro %}


{#- Query: the silences that touch what changed; several stretches may touch one. -#}
{% macro _absences_within(extents, periods) %}
    select distinct
        extents.rule_name,
        extents.source_id,
        extents.category,
        '' as first_event_type,
        0 as event_count,
        silences.started_at,
        silences.started_at + {{ hours_of('extents.min_duration') }} as triggered_at,
        silences.ended_at
    from {{ extents }} as extents
    cross join lateral (
        select
            periods.ended_at as started_at,
            lead(periods.started_at) over (order by periods.started_at) as ended_at
        from {{ periods }} as periods
        where
            {{ same_key('periods', 'extents', ['source_id', 'category']) }}
            and periods.started_at between extents.from_at and extents.to_at
        {{ fence() }}
    ) as silences
    where
        silences.ended_at - silences.started_at >= extents.min_duration
        and silences.started_at <= extents.ended_at
        and silences.ended_at >= extents.started_at
{% endmacro %}
