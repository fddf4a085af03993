{% macro periods_as_of(key) %}
    {#-
        A period that reaches into the stretch may begin long before and end long after it. So look twice as far
        until none that reaches into it touches the end of what was looked at.
    -#}
    {%- for end, looked_at, reaches_in in [
        ('first_at', ['first_at', 'since'], 'started_at < first_at + reach.gap and periods.ended_at > since - reach.gap'),
        ('last_at', ['until', 'last_at'], 'ended_at > last_at - reach.gap and periods.started_at < until + reach.gap'),
    ] %}
    for reach in
        select
            gaps.gap,
            gaps.gap * power(2, doublings.number) as length
        from ({{ any_activity_gap('greatest') | indent(8) }}) as gaps
        cross join generate_series(0, 60) as doublings (number)
    loop
        {{ end }} := {{ 'since - reach.length' if end == 'first_at' else 'until + reach.length' }};
        exit when not exists (
            with

            events as (
                {{ events_as_of(looked_at[0], looked_at[1]) | indent(16) }}
            ),

            periods as (
                {{ periods_of('events', key) | indent(16) }}
            )

            select 1 from periods
            where periods.{{ reaches_in }}
        );
    end loop;
    {%- endfor %}
    {{ refuse_what_is_gone() }}

    return query
    with

    events as (
        {{ events_as_of() | indent(8) }}
    ),

    periods as (
        {{ periods_of('events', key) | indent(8) }}
    ),

    final as (
        {{ (named_activity_periods if 'source_id' in key else named_category_activity_periods)('periods') | indent(8) }}
    )

    select * from final
    where
        started_at < until
        and ended_at >= since
    order by
        category collate "C",
        {%- if 'source_id' in key %}
        source_name collate "C",
        {%- endif %}
        started_at
{% endmacro %}


{% macro events_as_of(since='first_at', until='last_at') %}
    {%- set sources -%}
    (
        select
            sources.source_id,
            {{ since }} as from_at,
            {{ until }} as to_at
        from {{ ref('stg_video_events__sources') }} as sources
    )
    {%- endset %}
    {{ events_within(sources) }}
{% endmacro %}


{% macro events_within(bounds) %}
    {#- Not from the history: there a chunk of several loads stands in the ledger with the last one. -#}
    select
        events.source_id,
        events.event_type_id,
        event_types.event_type,
        event_types.category,
        events.event_time as occurred_at
    from {{ bounds }} as bounds
    {%- if is_distributed() %}
    inner join {{ source('raw', 'events') }} as events
        on {{ is_event_of('bounds', 'bounds.from_at', 'bounds.to_at') | indent(8) }}
    {%- else %}
    cross join lateral (
        select events.*
        from {{ source('raw', 'events') }} as events
        where {{ is_event_of('bounds', 'bounds.from_at', 'bounds.to_at') | indent(8) }}
        {{ fence(in_parallel=true) }}
    ) as events
    {%- endif %}
    inner join {{ ref('stg_video_events__loads') }} as loads
        on events.load_id = loads.load_id and {{ visible_at('as_of', 'loads') }}
    inner join {{ ref('stg_video_events__event_types') }} as event_types
        on events.event_type_id = event_types.event_type_id
{% endmacro %}


{#- SQL condition; the index of chunks begins with the source. -#}
{% macro is_event_of(bounds, since, until) -%}
    events.source_id = {{ bounds }}.source_id
    and {{ chunks_between('events', since, [until]) }}
    and events.event_time between {{ since }} and {{ until }}
{%- endmacro %}


{% macro refuse_what_is_gone() %}
    {#- Statements: nothing between first_at and last_at may be missing, nor yet to come. -#}
    {{ refuse_unknown_moment() }}
    if first_at < {{ dropped_before() | indent(4) }} then
        raise exception using errcode = 'no_data_found', message = {{ what_was_dropped(dropped_before()) | indent(4) }};
    end if;
    {{ refuse_what_was_purged() }}
{% endmacro %}


{% macro what_was_dropped(dropped_before) -%}
    format(
        '{{ this.identifier }}: raw events before %s were dropped (loader maintain --retain), and this needs them',
        {{ dropped_before }}
    )
{%- endmacro %}


{% macro refuse_unknown_moment() %}
    if as_of > (select counter.load_seq from {{ source('raw', 'load_counter') }} as counter) then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format(
                '{{ this.identifier }}: as_of is %s, but the ledger goes up to %s',
                as_of, (select counter.load_seq from {{ source('raw', 'load_counter') }} as counter)
            );
    end if;
{% endmacro %}


{% macro refuse_what_was_purged() %}
    for gone in
        select loads.load_id
        from {{ source('raw', 'loads') }} as loads
        where
            loads.purged_at is not null
            and {{ visible_at('as_of', 'loads') }}
            and loads.first_event_at <= last_at
            and loads.last_event_at >= first_at
        limit 1
    loop
        raise exception using
            errcode = 'no_data_found',
            message = format(
                '{{ this.identifier }}: load %s, which was visible as of %s, was withdrawn later, and its rows are gone by now (loader maintain)',
                gone.load_id, as_of
            );
    end loop;
{% endmacro %}
