{#-
    Statements: the alerts whose rule was met in a stretch, as of a row of the ledger; or, of some sources, all that a change of events
    in the stretch may have made others. For each source only so much around the stretch is read as these need.
-#}
{% macro alerts_of_stretch(is_of_change=false) %}
declare
    {#- As names of columns win over those of variables, no column has one of these. #}
    first_at timestamptz;
    last_at timestamptz;
    lost_before timestamptz;
    widest_gap interval;
    longest_wait interval;
    look_from timestamptz;
    look_to timestamptz;
    hours_since timestamptz := since;
    hours_until timestamptz := until;
    hours_from timestamptz;
    sought_ids int[];
    settled_ids int[];
    settled_froms timestamptz[];
    some_ids int[] := '{}';
    some_froms timestamptz[] := '{}';
    all_ids int[] := '{}';
    all_froms timestamptz[] := '{}';
    all_tos timestamptz[] := '{}';
    cut_ids int[] := '{}';
    cut record;
    gone record;
begin
    {{ refuse_unknown_moment() | indent(4) }}

    select
        gaps.gap,
        {% if is_of_change %}interval '0'{% else %}coalesce(
            (
                select {{ hours_of('max(rules.min_duration)') }}
                from {{ ref('stg_video_events__alert_rules') }} as rules
            ),
            interval '0'
        ){% endif %}
    into widest_gap, longest_wait
    from ({{ any_activity_gap('greatest') | indent(8) }}) as gaps;

    {#- Nothing is lost by retention that was not visible. #}
    select max(retention.dropped_before)
    into lost_before
    from {{ source('raw', 'retention') }} as retention
    where exists (
        select from {{ ref('stg_video_events__loads') }} as loads
        where
            loads.first_event_at < retention.dropped_before
            and {{ visible_at('as_of', 'loads') | indent(12) }}
    );
    if since - longest_wait - widest_gap < lost_before then
        raise exception using errcode = 'no_data_found', message = {{ _what_was_dropped() }};
    end if;

    {#-
        Back to where the run that goes on when the stretch begins has begun. Where only alerts that are due in the stretch are wanted,
        no further than a rule counts: a run of which more came before was told of before.
    #}
    sought_ids := array(
        select sources.source_id
        from {{ ref('stg_video_events__sources') }} as sources
        {%- if is_of_change %}
        where sources.source_id = any(of_sources)
        {%- endif %}
    );
    for doublings in 0..22 loop
        exit when sought_ids = '{}';
        look_from := case
            when doublings = 22 then '-infinity'
            else least(since - widest_gap - longest_wait, since - interval '1 hour' * power(2, doublings))
        end;
        with

        bounds as (
            select
                sought.source_id,
                look_from as from_at,
                until as to_at
            from unnest(sought_ids) as sought (source_id)
        ),

        events as (
            {{ events_within('bounds') | indent(12) }}
        ),

        counts as (
            select
                events.source_id,
                count(*) filter (where events.occurred_at < since) as earlier_count,
                array_agg(distinct events.category) filter (where events.occurred_at < since) as earlier_categories,
                bool_or(events.occurred_at >= since) as is_in_stretch
            from events
            group by events.source_id
        ),
        {%- if is_distributed() %}

        before as (
            select distinct
                chunks.source_id,
                event_types.category
            from {{ source('raw', 'event_chunks') }} as chunks
            inner join {{ ref('stg_video_events__event_types') }} as event_types
                on event_types.event_type_id = any(chunks.event_type_ids)
            where
                chunks.source_id = any(sought_ids)
                and chunks.first_event_at < look_from
        ),
        {%- endif %}

        judged as (
            select
                bounds.source_id,
                (
                    coalesce(cardinality(counts.earlier_categories), 0) > 1
                    {%- if not is_of_change %}
                    or coalesce(counts.earlier_count, 0) >= ({{ _most_events_counted() | indent(24) }})
                    or counts.is_in_stretch is not true
                    {%- endif %}
                )
                {%- if is_of_change %}
                {#- A silence that ends in the stretch began with the last event of its category. #}
                and not exists (
                    select from {{ ref('stg_video_events__alert_rules') }} as rules
                    where
                        rules.kind = 'absence'
                        and (rules.category = any(counts.earlier_categories)) is not true
                        and {{ _is_more_before(of_category=true) | indent(24) }}
                )
                {%- endif %} as is_enough,
                {{ _is_more_before() | indent(16) }} as is_more_before
            from bounds
            left join counts on bounds.source_id = counts.source_id
        )

        select
            coalesce(array_agg(judged.source_id) filter (where judged.is_enough or not judged.is_more_before), '{}'),
            coalesce(array_agg(judged.source_id) filter (where not judged.is_enough and judged.is_more_before), '{}'),
            cut_ids || coalesce(
                array_agg(judged.source_id) filter (
                    where
                        not judged.is_enough
                        and not judged.is_more_before
                        and lost_before is not null
                        and {{ _was_dropped('judged') | indent(24) }}
                ),
                '{}'
            )
        into settled_ids, sought_ids, cut_ids
        from judged;
        some_ids := some_ids || settled_ids;
        some_froms := some_froms || array_fill(look_from, array[cardinality(settled_ids)]);
    end loop;

    {#- On to where what is wanted ends: the run, the period or the silence that goes on when the stretch ends. #}
    sought_ids := some_ids;
    for doublings in 0..22 loop
        exit when sought_ids = '{}';
        look_to := case
            when doublings = 22 then 'infinity'
            else until + widest_gap + interval '1 hour' * (power(2, doublings) - 1)
        end;
        with

        bounds as (
            select
                sought.source_id,
                sought.from_at,
                look_to as to_at
            from unnest(some_ids, some_froms) as sought (source_id, from_at)
            where sought.source_id = any(sought_ids)
        ),

        {{ _parts_of_alerts('bounds') | indent(8) }},
        {%- if is_of_change %}

        neighbours as (
            {{ _neighbours() | indent(12) }}
        ),
        {%- endif %}

        last_runs as (
            select distinct on (runs.source_id)
                runs.source_id,
                runs.run_number,
                runs.category,
                runs.started_at
            from runs
            order by
                runs.source_id,
                runs.run_number desc
        ),

        last_periods as (
            select distinct on (periods.source_id, periods.category)
                periods.source_id,
                periods.category,
                periods.started_at,
                periods.ended_at
            from periods
            order by
                periods.source_id,
                periods.category,
                periods.started_at desc
        ),

        going_on as (
            {%- if is_of_change %}
            {#- The next run too: what lies between two may join them. #}
            select bounds.source_id
            from bounds
            left join neighbours on bounds.source_id = neighbours.source_id
            left join last_runs on bounds.source_id = last_runs.source_id
            where
                exists (
                    select from {{ ref('stg_video_events__alert_rules') }} as rules
                    where rules.kind = 'consecutive'
                )
                and (last_runs.started_at > neighbours.next_at) is not true
            {%- else %}
            select last_runs.source_id
            from last_runs
            inner join {{ ref('stg_video_events__alert_rules') }} as rules
                on
                    rules.kind = 'consecutive'
                    and last_runs.category = rules.category
            inner join runs
                on
                    last_runs.source_id = runs.source_id
                    and last_runs.run_number = runs.run_number
                    and rules.threshold = runs.event_number
            where
                runs.occurred_at >= since
                and runs.occurred_at < until
            {%- endif %}

            union all

            select last_periods.source_id
            from last_periods
            inner join {{ ref('stg_video_events__alert_rules') }} as rules
                on last_periods.category = rules.category
            where
                (
                    rules.kind = 'presence'
                    and last_periods.ended_at > look_to - widest_gap
                    {%- if is_of_change %}
                    and last_periods.started_at < until
                    {%- else %}
                    and last_periods.started_at + {{ hours_of('rules.min_duration') }} >= since
                    and last_periods.started_at + {{ hours_of('rules.min_duration') }} < until
                    {%- endif %}
                )
                or (
                    rules.kind = 'absence'
                    {%- if is_of_change %}
                    and last_periods.ended_at < until
                    {%- else %}
                    and last_periods.ended_at + {{ hours_of('rules.min_duration') }} >= since
                    and last_periods.ended_at + {{ hours_of('rules.min_duration') }} < until
                    {%- endif %}
                )
        ),

        judged as (
            select
                bounds.source_id,
                bounds.from_at,
                bounds.source_id in (select going_on.source_id from going_on)
                and exists (
                    select from {{ source('raw', 'event_chunks') }} as chunks
                    where
                        chunks.source_id = bounds.source_id
                        and chunks.first_event_at > look_to - interval '1 day'
                        and chunks.last_event_at > look_to
                ) as is_going_on
            from {{ at_nodes('bounds', none) }} as bounds
        )

        select
            coalesce(array_agg(judged.source_id) filter (where not judged.is_going_on), '{}'),
            coalesce(array_agg(judged.from_at) filter (where not judged.is_going_on), '{}'),
            coalesce(array_agg(judged.source_id) filter (where judged.is_going_on), '{}')
        into settled_ids, settled_froms, sought_ids
        from judged;
        all_ids := all_ids || settled_ids;
        all_froms := all_froms || settled_froms;
        all_tos := all_tos || array_fill(look_to, array[cardinality(settled_ids)]);
    end loop;

    first_at := least(since, (select min(froms.from_at) from unnest(all_froms) as froms (from_at)));
    last_at := greatest(until, (select max(tos.to_at) from unnest(all_tos) as tos (to_at)));

    if exists (
        select from {{ ref('stg_video_events__alert_rules') }} as rules
        where rules.kind = 'unusual'
    ) then
        {%- if is_of_change %}
        {#- Where a source begins or ends elsewhere than before, other hours too are judged anew. #}
        hours_since := greatest(
            first_at,
            (
                select min(chunks.first_event_at)
                from {{ source('raw', 'event_chunks') }} as chunks
                where chunks.source_id = any(of_sources)
            )
        );
        hours_until := 'infinity';
        {%- endif %}
        hours_from := {{ _weeks_before('hours_since', 8) }};
        if hours_from < lost_before then
            {%- if is_of_change %}
            raise warning using message = format(
                'raw events before %s were dropped (loader maintain --retain), and rules of the kind unusual need them', lost_before
            );
            hours_from := null;
            {%- else %}
            raise exception using errcode = 'no_data_found', message = {{ _what_was_dropped() }} || ' for rules of the kind unusual';
            {%- endif %}
        end if;
        first_at := least(first_at, hours_from);
        last_at := greatest(last_at, hours_until);
    end if;
    {{ refuse_what_was_purged() | indent(4) }}

    {#- Of a run that began with events that were dropped nobody knows at which event its rule was met. #}
    for cut in
        with

        bounds as (
            select found.*
            from unnest(all_ids, all_froms, all_tos) as found (source_id, from_at, to_at)
            where
                {% if is_of_change -%}
                lost_before is not null
                and {{ _was_dropped('found') | indent(16) }}
                {%- else -%}
                found.source_id = any(cut_ids)
                {%- endif %}
        ),

        {{ _parts_of_alerts('bounds') | indent(8) }},

        cut_off as (
            select
                'run' as what,
                runs.source_id,
                runs.category
            from runs
            inner join {{ ref('stg_video_events__alert_rules') }} as rules
                on
                    rules.kind = 'consecutive'
                    and runs.category = rules.category
            where
                runs.run_number = 1
                and runs.source_id = any(cut_ids)
                and runs.occurred_at >= since
                {%- if is_of_change %}

            union all

            select
                'silence' as what,
                periods.source_id,
                periods.category
            from periods
            inner join {{ ref('stg_video_events__alert_rules') }} as rules
                on
                    rules.kind = 'absence'
                    and periods.category = rules.category
            group by
                periods.source_id,
                periods.category
            having
                min(periods.started_at) >= since
                and min(periods.started_at) <= until
                {%- else %}
                and runs.occurred_at < until
                {#- What came before counts for it, so it is met no later than here. #}
                and runs.event_number <= rules.threshold
                {%- endif %}
        )

        select distinct
            cut_off.what,
            sources.source_name,
            cut_off.category
        from cut_off
        inner join {{ ref('stg_video_events__sources') }} as sources on cut_off.source_id = sources.source_id
    loop
        {%- set message -%}
        format(
            '{{ '' if is_of_change else this.identifier ~ ': ' }}the %s of %s at %s began before %s, and raw events of then were dropped (loader maintain --retain)',
            cut.what, cut.category, cut.source_name, lost_before
        )
        {%- endset %}
        {%- if is_of_change %}
        raise warning using message = {{ message }};
        {%- else %}
        raise exception using errcode = 'no_data_found', message = {{ message }};
        {%- endif %}
    end loop;

    return query
    with

    bounds as (
        select * from unnest(all_ids, all_froms, all_tos) as found (source_id, from_at, to_at)
    ),

    {{ _parts_of_alerts('bounds') | indent(4) }},

    {#- Of a short stretch only the same hours of the weeks before, of a longer one all of them. #}
    hour_bounds as (
        select
            ids.source_id,
            case when is_short then {{ _weeks_before('hours_since', 'weeks.number') }} else hours_from end as from_at,
            case
                when is_short then {{ _weeks_before("hours_until + interval '1 hour'", 'weeks.number') }}
                else hours_until
            end as to_at
        from unnest(all_ids) as ids (source_id)
        cross join (select hours_until < hours_since + interval '6 days') as lengths (is_short)
        cross join generate_series(0, 8) as weeks (number)
        where
            hours_from is not null
            and (is_short or weeks.number = 0)
    ),

    hour_events as (
        {{ events_within('hour_bounds') | indent(8) }}
    ),

    hours as (
        {{ hourly_counts('hour_events') | indent(8) }}
    ),

    ends as (
        select
            ids.source_id,
            {{ local_hour('ends_of_source.first_at_source') }} as first_hour,
            {{ local_hour('ends_of_source.last_at_source') }} as last_hour
        from unnest(all_ids) as ids (source_id)
        cross join lateral (
            select
                coalesce(
                    ({{ _one_event('ids', 'occurred_at', "timestamptz '-infinity'", "hours_from - interval '1 microsecond'") | indent(20) }}),
                    (
                        select dropped_sources.last_event_at
                        from {{ source('raw', 'dropped_sources') }} as dropped_sources
                        where dropped_sources.source_id = ids.source_id and lost_before is not null
                    ),
                    ({{ _one_event('ids', 'min(occurred_at)', 'hours_from', 'hours_until') | indent(20) }})
                ) as first_at_source,
                coalesce(
                    ({{ _one_event('ids', 'occurred_at', 'hours_until', "timestamptz 'infinity'") | indent(20) }}),
                    ({{ _one_event('ids', 'max(occurred_at)', "hours_since - interval '2 hours'", 'hours_until') | indent(20) }})
                ) as last_at_source
            {{ fence() }}
        ) as ends_of_source
        where hours_from is not null
    ),

    alerts as (
        select
            rules.rule_name,
            runs.source_id,
            runs.category,
            runs.first_event_type,
            runs.event_count,
            runs.started_at,
            runs.occurred_at as triggered_at,
            runs.ended_at
        from runs
        inner join {{ ref('stg_video_events__alert_rules') }} as rules
            on
                rules.kind = 'consecutive'
                and runs.category = rules.category
                and runs.event_number = rules.threshold
        where (runs.run_number = 1 and runs.source_id = any(cut_ids)) is not true
        union all
        {{ presence_alerts('periods') | indent(8) }}
        union all
        {{ absence_alerts('periods') | indent(8) }}
        union all
        select * from ({{ unusual_alerts('hours', ends='ends') | indent(8) }}) as unusual
    ),

    {%- if is_of_change %}

    neighbours as (
        {{ _neighbours() | indent(8) }}
    ),
    {%- endif %}

    final as (
        {{ named_alerts('alerts') | indent(8) }}
    )

    select final.*
    from final
    {%- if is_of_change %}
    left join neighbours on final.source_id = neighbours.source_id
    {%- endif %}
    where
        {%- if is_of_change %}
        case
            when {{ is_of_kind('final', 'unusual') }} then final.started_at >= hours_since - interval '1 hour'
            when {{ is_of_kind('final', 'consecutive') }}
                then
                    final.started_at <= coalesce(neighbours.next_at, 'infinity')
                    and final.ended_at >= coalesce(neighbours.previous_at, '-infinity')
            else final.started_at <= until and final.ended_at >= since
        end
        {%- else %}
        triggered_at >= since
        and triggered_at < until
        {%- endif %}
    order by
        triggered_at,
        source_name collate "C",
        rule_name collate "C";
end
{% endmacro %}


{#- SQL condition: a source has chunks before what was looked at; or ones with the category of a rule. -#}
{% macro _is_more_before(of_category=false) -%}
    exists (
        {%- if is_distributed() %}
        {#- Citus looks nothing up for rows that are of no node. #}
        select from before
        where
            before.source_id = bounds.source_id
            {%- if of_category %}
            and before.category = rules.category
            {%- endif %}
        {%- else %}
        select from {{ source('raw', 'event_chunks') }} as chunks
        where
            chunks.source_id = bounds.source_id
            and chunks.first_event_at < look_from
            {%- if of_category %}
            and chunks.event_type_ids && array(
                select event_types.event_type_id
                from {{ ref('stg_video_events__event_types') }} as event_types
                where event_types.category = rules.category
            )
            {%- endif %}
        {%- endif %}
    )
{%- endmacro %}


{#- Query: of each source, the last one of `events` before the stretch and the first one after it. -#}
{% macro _neighbours() %}
    select
        events.source_id,
        max(events.occurred_at) filter (where events.occurred_at < since) as previous_at,
        min(events.occurred_at) filter (where events.occurred_at > until) as next_at
    from events
    group by events.source_id
{%- endmacro %}


{#- CTEs: events within `bounds`, their periods, and each event with its place in its run. -#}
{% macro _parts_of_alerts(bounds) %}
events as (
    {{ events_within(bounds) | indent(4) }}
),

buckets as (
    {{ event_buckets('events') | indent(4) }}
),

periods as (
    {{ merge_periods('buckets', ['source_id', 'category']) | indent(4) }}
),

marked as (
    select
        *,
        lag(category) over (
            partition by source_id
            order by occurred_at, event_type collate "C"
        ) is distinct from category as is_start
    from events
),

numbered as (
    select
        *,
        count(*) filter (where is_start) over (
            partition by source_id
            order by occurred_at, event_type collate "C"
        ) as run_number
    from marked
),

runs as (
    select
        source_id,
        run_number,
        category,
        occurred_at,
        first_value(event_type) over in_order as first_event_type,
        row_number() over in_order as event_number,
        count(*) over whole_run as event_count,
        min(occurred_at) over whole_run as started_at,
        max(occurred_at) over whole_run as ended_at
    from numbered
    window
        whole_run as (partition by source_id, run_number),
        in_order as (whole_run order by occurred_at, event_type collate "C")
)
{%- endmacro %}


{#- Query: how many events of a run rules count at most. -#}
{% macro _most_events_counted() %}
    select coalesce(max(rules.threshold), 0)
    from {{ ref('stg_video_events__alert_rules') }} as rules
    where rules.kind = 'consecutive'
{%- endmacro %}


{#- SQL condition: retention has, or may have, dropped events of a source. -#}
{% macro _was_dropped(sources) -%}
    (
        exists (
            select from {{ source('raw', 'dropped_sources') }} as dropped_sources
            where dropped_sources.source_id = {{ sources }}.source_id
        )
        or exists (
            select from {{ ref('stg_video_events__loads') }} as loads
            where
                loads.first_event_at < lost_before
                and loads.withdrawn_seq is not null
                and {{ visible_at('as_of', 'loads') }}
        )
    )
{%- endmacro %}


{% macro _what_was_dropped() -%}
    format(
        '{{ this.identifier }}: raw events before %s were dropped (loader maintain --retain), and this needs them',
        lost_before
    )
{%- endmacro %}


{#- SQL expression: the hour of the clock of the reports that many weeks before the hour of an instant. -#}
{% macro _weeks_before(moment, weeks) -%}
    {%- set hour = local_hour(moment ~ " - interval '1 hour'") ~ " - " ~ weeks ~ " * interval '7 days'" -%}
    {{ local_hour_started_at(hour) }}
{%- endmacro %}


{#- Query: one event of a source, or an aggregate of them. -#}
{% macro _one_event(source, column, since, until) %}
    select {{ column }}
    from (
        select
            events.load_id,
            events.event_time as occurred_at
        from {{ source_events(source, since, until) | indent(8) }}
        {{ fence() }}
    ) as events
    inner join {{ ref('stg_video_events__loads') }} as loads
        on events.load_id = loads.load_id and {{ visible_at('as_of', 'loads') }}
    limit 1
{%- endmacro %}
