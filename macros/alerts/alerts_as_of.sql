{% macro alerts_of_stretch(is_of_change=false) %}
declare
    {#- As names of columns win over those of variables, no column has one of these. #}
    widest_gap interval;
    longest_wait interval;
    most_counted int;
    lost_before timestamptz;
    all_ids int[];
    all_froms timestamptz[];
    all_tos timestamptz[];
    cut_ids int[];
    open_ids int[];
    look_to timestamptz;
    first_at timestamptz;
    last_at timestamptz;
    hours_since timestamptz := since;
    hours_until timestamptz := until;
    hours_from timestamptz;
    cut record;
    gone record;
begin
    {{ refuse_unknown_moment() | indent(4) }}

    select
        gaps.gap,
        coalesce({{ "interval '0'" if is_of_change else hours_of('rules.min_duration') }}, interval '0'),
        coalesce(rules.threshold, 0)
    into widest_gap, longest_wait, most_counted
    from ({{ any_activity_gap('greatest') | indent(8) }}) as gaps
    cross join (
        select
            max(rules.min_duration) as min_duration,
            max(rules.threshold) as threshold
        from {{ ref('stg_video_events__alert_rules') }} as rules
    ) as rules;

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
        raise exception using errcode = 'no_data_found', message = {{ what_was_dropped('lost_before') }};
    end if;

    with

    visible_loads as {{ 'not' if not is_distributed() }} materialized (
        select loads.load_id
        from {{ ref('stg_video_events__loads') }} as loads
        where {{ visible_at('as_of', 'loads') | indent(8) }}
    ),

    {{ (_bounds_of_change() if is_of_change else _bounds_of_alerts()) | indent(4) }}

    select
        array_agg(found.source_id),
        array_agg(found.from_at),
        array_agg(found.to_at),
        array_agg(found.source_id) filter (where found.from_at = '-infinity' and {{ _was_dropped('found') | indent(8) }})
    into all_ids, all_froms, all_tos, cut_ids
    from found;

    {%- if not is_of_change %}

    {#- On to where that ends which began in the stretch and goes on after it, if anything comes later. #}
    open_ids := all_ids;
    for doublings in 0..22 loop
        exit when open_ids is null;
        look_to := case
            when doublings = 22 then 'infinity'
            else until + widest_gap + interval '1 hour' * (power(2, doublings) - 1)
        end;
        all_tos := array(
            select case when found.source_id = any(open_ids) then look_to else found.to_at end
            from unnest(all_ids, all_tos) with ordinality as found (source_id, to_at, place)
            order by found.place
        );
        with

        bounds as (
            select found.*
            from {{ at_nodes(_all_bounds(), none) | indent(12) }} as found
            where
                found.source_id = any(open_ids)
                and exists (
                    select from {{ source('raw', 'event_chunks') }} as chunks
                    where
                        chunks.source_id = found.source_id
                        and chunks.first_event_at > look_to - interval '1 day'
                        and chunks.last_event_at > look_to
                    {{ fence(is_lookup=false) }}
                )
        ),

        {{ _alerts_within('bounds') | indent(8) }}

        select array_agg(distinct alerts.source_id)
        into open_ids
        from alerts
        inner join (
            select
                events.source_id,
                max(events.occurred_at) as last_event_at
            from events
            group by events.source_id
        ) as ends on alerts.source_id = ends.source_id
        where
            alerts.triggered_at >= since
            and alerts.triggered_at < until
            and (alerts.ended_at < least(look_to - widest_gap, ends.last_event_at)) is not true;
    end loop;
    {%- endif %}

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
            raise exception using errcode = 'no_data_found', message = {{ what_was_dropped('lost_before') }} || ' for rules of the kind unusual';
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
            select * from {{ _all_bounds() }} as found
            where {{ _was_dropped('found') if is_of_change else 'found.source_id = any(cut_ids)' }}
        ),

        {{ _alerts_within('bounds') | indent(8) }},

        cut_off as (
            select
                'run' as what,
                pieces.source_id,
                pieces.category
            from numbered_pieces as pieces
            inner join {{ ref('stg_video_events__alert_rules') }} as rules
                on
                    rules.kind = 'consecutive'
                    and pieces.category = rules.category
            where
                {{ _is_cut_off('pieces') }}
                and pieces.ended_at >= since
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
            having min(periods.started_at) between since and until
                {%- else %}
                and pieces.started_at < until
                {#- What came before counts for it, so it is met no later than here. #}
                and pieces.earlier_event_count < rules.threshold
                {%- endif %}
        )

        select distinct
            cut_off.what,
            sources.source_name,
            cut_off.category
        from cut_off
        inner join {{ ref('stg_video_events__sources') }} as sources on cut_off.source_id = sources.source_id
    loop
        raise {{ 'warning using' if is_of_change else "exception using errcode = 'no_data_found'," }} message = format(
            '{{ '' if is_of_change else this.identifier ~ ': ' }}the %s of %s at %s began before %s, and raw events of then were dropped (loader maintain --retain)',
            cut.what, cut.category, cut.source_name, lost_before
        );
    end loop;

    return query
    with

    bounds as (
        select * from {{ _all_bounds() }} as found
    ),

    {{ _alerts_within('bounds') | indent(4) }},

    {{ _unusual_alerts_of_stretch() | indent(4) }},

    final as (
        {{ named_alerts('(select * from alerts union all select * from unusual)') | indent(8) }}
        where alerts.ended_at is not null
    )

    select final.*
    from final
    {%- if is_of_change %}
    left join (
        select
            events.source_id,
            max(events.occurred_at) filter (where events.occurred_at < since) as previous_at,
            min(events.occurred_at) filter (where events.occurred_at > until) as next_at
        from events
        group by events.source_id
    ) as neighbours on final.source_id = neighbours.source_id
    where
        case
            when {{ is_of_kind('final', 'unusual') }} then final.started_at >= {{ _weeks_before('hours_since', 0) }}
            when {{ is_of_kind('final', 'consecutive') }}
                then
                    final.started_at <= coalesce(neighbours.next_at, 'infinity')
                    and final.ended_at >= coalesce(neighbours.previous_at, '-infinity')
            else final.started_at <= until and final.ended_at >= since
        end
    {%- else %}
    where
        final.triggered_at >= since
        and final.triggered_at < until
    {%- endif %}
    order by
        final.triggered_at,
        final.source_name collate "C",
        final.rule_name collate "C";
end
{% endmacro %}


{#- CTE `found`: sources, back to where as many events came before the stretch as rules count: what began before them was told of before. -#}
{% macro _bounds_of_alerts() %}
sought as materialized (
    select
        sources.source_id,
        array(select event_types.event_type_id from {{ ref('stg_video_events__event_types') }} as event_types) as event_type_ids
    from {{ ref('stg_video_events__sources') }} as sources
),

found as materialized (
    select
        sought.source_id,
        case
            when
                most_counted > 0
                and exists (
                    select from {{ source('raw', 'event_chunks') }} as chunks
                    where
                        chunks.source_id = sought.source_id
                        and chunks.first_event_at >= since - interval '1 day'
                        and chunks.last_event_at >= since
                        and chunks.first_event_at < until
                    {{ fence(is_lookup=false) }}
                )
                then least(since - widest_gap - longest_wait, coalesce(before.edge_at, '-infinity'))
            else since - widest_gap - longest_wait
        end as from_at,
        until as to_at
    from {{ at_nodes('sought', none) }} as sought
    left join lateral (
        {{ _edge('before', 'greatest(most_counted, 1)') | indent(8) }}
    ) as before on true
)
{% endmacro %}


{#-
    CTE `found`: some sources, from where the run began that ends before the stretch to where the one ends that begins after it, which the
    change may join; and from one event of each category of which a silence may be told to another one.
-#}
{% macro _bounds_of_change() %}
sought as materialized (
    select
        sources.source_id,
        categories.event_type_ids,
        categories.is_silence_told
    from unnest(of_sources) as sources (source_id)
    cross join (
        select
            array_agg(event_types.event_type_id) as event_type_ids,
            event_types.category in (
                select rules.category
                from {{ ref('stg_video_events__alert_rules') }} as rules
                where rules.kind = 'absence'
            ) as is_silence_told
        from {{ ref('stg_video_events__event_types') }} as event_types
        group by event_types.category
    ) as categories
),

found as materialized (
    select
        edges.source_id,
        least(
            since - widest_gap,
            coalesce((array_agg(edges.before_at order by edges.before_at desc nulls last))[2], '-infinity'),
            min(edges.before_at) filter (where edges.is_silence_told)
        ) as from_at,
        greatest(
            until + widest_gap,
            coalesce((array_agg(edges.after_at order by edges.after_at))[2], 'infinity'),
            max(edges.after_at) filter (where edges.is_silence_told)
        ) as to_at
    from (
        select
            sought.source_id,
            sought.is_silence_told,
            before.edge_at as before_at,
            after.edge_at as after_at
        from {{ at_nodes('sought', none) }} as sought
        left join lateral (
            {{ _edge('before') | indent(12) }}
        ) as before on true
        left join lateral (
            {{ _edge('after') | indent(12) }}
        ) as after on true
    ) as edges
    group by edges.source_id
)
{% endmacro %}


{#- Query: how far from the stretch so many events of the types of `sought` are, in `visible_loads`, chunk by chunk. -#}
{% macro _edge(side, event_count=1) %}
    select events.edge_at
    from (
        select
            chunks.{{ 'first' if side == 'before' else 'last' }}_event_at as edge_at,
            chunks.first_event_at as chunk_started_at,
            chunks.load_id as last_load_id,
            unnest(chunks.load_ids) as load_id,
            unnest(chunks.event_type_ids) as event_type_id,
            unnest(chunks.event_times) as occurred_at
        from {{ source('raw', 'event_chunks') }} as chunks
        where
            chunks.source_id = sought.source_id
            and chunks.event_type_ids && sought.event_type_ids
            {%- if side == 'before' %}
            and chunks.first_event_at < since
            {%- else %}
            and chunks.first_event_at > until - interval '1 day'
            and chunks.last_event_at > until
            {%- endif %}
        order by chunks.first_event_at {{ 'desc' if side == 'before' }}
    ) as events
    inner join visible_loads on coalesce(events.load_id, events.last_load_id) = visible_loads.load_id
    where
        events.event_type_id = any(sought.event_type_ids)
        and events.occurred_at {{ '< since' if side == 'before' else '> until' }}
    order by events.chunk_started_at {{ 'desc' if side == 'before' }}
    limit 1 offset {{ event_count }} - 1
{% endmacro %}


{#- The bounds of all sources, as rows. -#}
{% macro _all_bounds() -%}
    (select * from unnest(all_ids, all_froms, all_tos) as found (source_id, from_at, to_at))
{%- endmacro %}


{#- CTEs: the events within `bounds`, and what rules tell of them; a silence that has no end there has none. -#}
{% macro _alerts_within(bounds) %}
events as (
    {{ events_within(bounds) | indent(4) }}
),

periods as (
    {{ periods_of('events', ['source_id', 'category']) | indent(4) }}
),

pieces as (
    select
        runs.*,
        false as is_separator
    from ({{ event_runs('events') | indent(4) }}) as runs
),

numbered_pieces as (
    {{ numbered_pieces('pieces') | indent(4) }}
),

whole_runs as (
    select * from numbered_pieces
    where ({{ _is_cut_off('numbered_pieces') }}) is not true
),

alerts as (
    {{ consecutive_alerts('whole_runs') | indent(4) }}
    union all
    {{ presence_alerts('periods') | indent(4) }}
    union all
    {{ absence_alerts('periods', are_open_too=true) | indent(4) }}
)
{%- endmacro %}


{#- CTEs: `unusual`, the alerts of hours. Of a short stretch only the same hours of the weeks before are read, of a longer one all. -#}
{% macro _unusual_alerts_of_stretch() %}
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
    {{ events_within('hour_bounds') | indent(4) }}
),

hours as (
    {{ hourly_counts('hour_events') | indent(4) }}
),

{#- Looked up once for each source, and not for each of its hours. #}
ends as {{ 'materialized' if not is_distributed() }} (
    select
        ids.source_id,
        {{ local_hour('ends_of_source.first_at_source') }} as first_hour,
        {{ local_hour('ends_of_source.last_at_source') }} as last_hour
    from unnest(all_ids) as ids (source_id)
    cross join lateral (
        select
            coalesce(
                ({{ _one_event('ids', 'occurred_at', "timestamptz '-infinity'", "hours_from - interval '1 microsecond'") | indent(16) }}),
                (
                    select dropped_sources.last_event_at
                    from {{ source('raw', 'dropped_sources') }} as dropped_sources
                    where dropped_sources.source_id = ids.source_id and lost_before is not null
                ),
                ({{ _one_event('ids', 'min(occurred_at)', 'hours_from', 'hours_until') | indent(16) }})
            ) as first_at_source,
            coalesce(
                ({{ _one_event('ids', 'occurred_at', 'hours_until', "timestamptz 'infinity'") | indent(16) }}),
                ({{ _one_event('ids', 'max(occurred_at)', "hours_since - interval '2 hours'", 'hours_until') | indent(16) }})
            ) as last_at_source
        {{ fence() }}
    ) as ends_of_source
    where hours_from is not null
),

unusual as (
    {{ unusual_alerts('hours', ends='ends') | indent(4) }}
)
{%- endmacro %}


{#- SQL condition: a piece is of the first run of a source whose beginning was dropped. -#}
{% macro _is_cut_off(pieces) -%}
    {{ pieces }}.run_number = 0 and {{ pieces }}.source_id = any(cut_ids)
{%- endmacro %}


{#- SQL condition: retention has, or may have, dropped events of a source. -#}
{% macro _was_dropped(sources) -%}
    lost_before is not null
    and (
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


{#- SQL expression: the hour of the clock of the reports that many weeks before the hour of an instant. -#}
{% macro _weeks_before(moment, weeks) -%}
    {{ _local_hour_started_at(local_hour(moment ~ " - interval '1 hour'") ~ " - " ~ weeks ~ " * interval '7 days'") }}
{%- endmacro %}


{#- Query: one event of a source, or an aggregate of them. -#}
{% macro _one_event(ids, column, since, until) %}
    select {{ column }}
    from (
        select
            events.load_id,
            events.event_time as occurred_at
        from {{ source('raw', 'events') }} as events
        where {{ is_event_of(ids, since, until) | indent(8) }}
        {{ fence() }}
    ) as events
    inner join {{ ref('stg_video_events__loads') }} as loads
        on events.load_id = loads.load_id and {{ visible_at('as_of', 'loads') }}
    limit 1
{%- endmacro %}
