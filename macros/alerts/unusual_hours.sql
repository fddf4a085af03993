{% macro judged_hours(weeks) %}
    select
        quartered.source_id,
        quartered.category,
        quartered.event_count,
        quartered.week_count,
        quartered.median as usual_event_count,
        quartered.high - quartered.low as event_count_spread,
        {#- Far out of the middle half. With fewer weeks nothing is usual, and some hours clocks leave out. #}
        quartered.week_count >= 4
        and quartered.event_count not between
        quartered.low - 1.5 * greatest(quartered.high - quartered.low, 1)
        and quartered.high + 1.5 * greatest(quartered.high - quartered.low, 1)
        and {{ _local_hour_started_at('quartered.local_hour') }}
        < {{ _local_hour_started_at("quartered.local_hour + interval '1 hour'") }} as is_unusual,
        quartered.local_hour
    from (
        select
            padded.*,
            {%- for name, part in {'low': 0.25, 'median': 0.5, 'high': 0.75}.items() %}
            {{ _quantile('padded.counts', 'padded.week_count', part) }} as {{ name }}
            {{- ',' if not loop.last }}
            {%- endfor %}
        from (
            select
                counted.source_id,
                counted.category,
                counted.local_hour,
                counted.event_count,
                counted.week_count,
                {#- Weeks without an event may not be among `weeks`. #}
                array_fill(0::bigint, array[counted.week_count - coalesce(cardinality(counted.counts), 0)])
                || counted.counts as counts
            from (
                select
                    weeks.source_id,
                    weeks.category,
                    weeks.local_hour,
                    coalesce(sum(weeks.event_count) filter (where weeks.weeks_ago = 0), 0)::bigint as event_count,
                    {#- The first hour of a source is no whole one. #}
                    least(
                        8, greatest(0, ceil(extract(epoch from weeks.local_hour - weeks.first_hour) / 604800) - 1)
                    )::int as week_count,
                    array_agg(weeks.event_count order by weeks.event_count) filter (
                        where
                            weeks.weeks_ago > 0
                            and weeks.local_hour - weeks.weeks_ago * interval '7 days' > weeks.first_hour
                    ) as counts
                from {{ weeks }} as weeks
                group by
                    weeks.source_id,
                    weeks.category,
                    weeks.local_hour,
                    weeks.first_hour
            ) as counted
        ) as padded
    ) as quartered
{% endmacro %}


{#- SQL expression: `percentile_cont` of a sorted array; that one would be a query for each hour. -#}
{% macro _quantile(counts, count, part) -%}
    {%- set place = part ~ "::double precision * (" ~ count ~ " - 1)" -%}
    {%- set low = counts ~ "[floor(" ~ place ~ ")::int + 1]" -%}
    {{ low }} + ({{ place }} - floor({{ place }})) * ({{ counts }}[ceil({{ place }})::int + 1] - {{ low }})
{%- endmacro %}


{% macro local_hour(moment) -%}
    date_trunc('hour', ({{ moment }}) at time zone {{ report_timezone() }})
{%- endmacro %}


{#- SQL expression (timestamptz): when an hour of the clock of the reports begins, the first time where it comes twice. -#}
{% macro _local_hour_started_at(local_hour) -%}
    {#- Of an hour that comes twice PostgreSQL takes the second one; one that is left out begins where it ends. -#}
    least(
        ({{ local_hour }}) at time zone {{ report_timezone() }},
        ({{ local_hour }} - interval '1 hour') at time zone {{ report_timezone() }} + interval '1 hour'
    )
{%- endmacro %}


{% macro counts_by_local_hour(hours) %}
    select
        hours.source_id,
        hours.category,
        sum(hours.event_count)::bigint as event_count,
        {{ local_hour('hours.hour_started_at') }} as local_hour
    from {{ hours }} as hours
    where
        {{ caller() }}
    group by
        hours.source_id,
        hours.category,
        {{ local_hour('hours.hour_started_at') }}
{% endmacro %}


{#- Query: the hours in which sources began, and those that are not over, by the clock of the reports. -#}
{% macro _ends_of_sources(sources, hours) %}
    select
        sources.source_id,
        {{ local_hour('first_hour.hour_started_at') }} as first_hour,
        {{ local_hour('last_hour.hour_started_at') }} as last_hour
    from {{ sources }} as sources
    {%- for name, direction in {'first_hour': 'asc', 'last_hour': 'desc'}.items() %}
    cross join lateral (
        select hours.hour_started_at
        from {{ hours }} as hours
        where hours.source_id = sources.source_id
        order by hours.hour_started_at {{ direction }}
        limit 1
    ) as {{ name }}
    {%- endfor %}
{% endmacro %}


{% macro unusual_alerts(hours, ends=none) %}
    with

    counts as (
        {% call counts_by_local_hour(hours) -%}
            hours.category in (
                select rules.category
                from {{ ref('stg_video_events__alert_rules') }} as rules
                where rules.kind = 'unusual'
            )
        {%- endcall %}
    ),

    {%- if not ends %}

    ends_of_all as (
        select
            hours.source_id,
            {{ local_hour('min(hours.hour_started_at)') }} as first_hour,
            {{ local_hour('max(hours.hour_started_at)') }} as last_hour
        from {{ hours }} as hours
        group by hours.source_id
    ),
    {%- endif %}

    {#- Each hour stands beside those that come after it: nothing is unusual after eight weeks of nothing. #}
    weeks as (
        select
            counts.source_id,
            counts.category,
            counts.event_count,
            numbers.weeks_ago,
            counts.local_hour + numbers.weeks_ago * interval '7 days' as local_hour,
            ends.first_hour
        from counts
        inner join {{ ends or 'ends_of_all' }} as ends on counts.source_id = ends.source_id
        cross join generate_series(0, 8) as numbers (weeks_ago)
        where
            counts.local_hour + numbers.weeks_ago * interval '7 days' > ends.first_hour
            and counts.local_hour + numbers.weeks_ago * interval '7 days' < ends.last_hour
    )

    {{ _alerts_of_hours('weeks') | indent(4) }}
{% endmacro %}


{#- Query: the alerts of the `unusual` rules among some hours. `added_hours`, by source and category, are added to the stored counts. -#}
{% macro _unusual_alerts_within(wanted, ends, batch, added_hours=none) %}
    {%- set wanted_weeks -%}
    (
        select
            wanted.source_id,
            wanted.category,
            wanted.local_hour,
            numbers.weeks_ago,
            ends.first_hour
        from {{ wanted }} as wanted
        inner join {{ ends }} as ends
            on
                wanted.source_id = ends.source_id
                and wanted.local_hour > ends.first_hour
                and wanted.local_hour < ends.last_hour
        cross join generate_series(0, 8) as numbers (weeks_ago)
    )
    {%- endset %}
    with

    weeks as (
        select
            wanted.source_id,
            wanted.category,
            {{ 'coalesce(counted.event_count, 0) + coalesce(newer.event_count, 0)' if added_hours else 'counted.event_count' }} as event_count,
            wanted.weeks_ago,
            wanted.local_hour,
            wanted.first_hour
        from {{ at_nodes(wanted_weeks, batch) }} as wanted
        cross join lateral (
            select sum(hours.event_count)::bigint as event_count
            from {{ ref('fct_hourly_detections') }} as hours
            where
                {{ same_key('hours', 'wanted', ['source_id', 'category']) }}
                and hours.hour_started_at >= {{ _local_hour_started_at(
                    "wanted.local_hour - wanted.weeks_ago * interval '7 days'"
                ) | indent(16) }}
                and hours.hour_started_at < {{ _local_hour_started_at(
                    "wanted.local_hour - wanted.weeks_ago * interval '7 days' + interval '1 hour'"
                ) | indent(16) }}
            {{ fence() }}
        ) as counted
        {%- if added_hours %}
        left join {{ added_hours }} as newer
            on
                {{ same_key('newer', 'wanted', ['source_id', 'category']) }}
                and newer.local_hour = wanted.local_hour - wanted.weeks_ago * interval '7 days'
        {%- else %}
        where counted.event_count > 0
        {%- endif %}
    )

    {{ _alerts_of_hours('weeks') | indent(4) }}
{% endmacro %}


{% macro open_unusual_alerts(hours, added_hours) %}
    with

    known as (
        select sources.source_id
        from {{ ref('stg_video_events__sources') }} as sources
        where exists (
            select from {{ ref('stg_video_events__alert_rules') }} as rules
            where rules.kind = 'unusual'
        )
    ),

    own_ends as materialized (
        {{ _ends_of_sources(at_nodes('known', none), hours) | indent(8) }}
    ),

    ends as (
        select
            own_ends.source_id,
            own_ends.first_hour,
            own_ends.last_hour as own_last_hour,
            max(own_ends.last_hour) over () as last_hour
        from own_ends
    ),

    {#- Nothing is usual where three of eight weeks have nothing, so one of the last three must have something. #}
    wanted as (
        select distinct
            ends.source_id,
            recent.category,
            {{ local_hour('recent.hour_started_at') }} + numbers.weeks * interval '7 days' as local_hour
        from ends
        cross join lateral (
            select
                hours.category,
                hours.hour_started_at
            from {{ hours }} as hours
            where
                hours.source_id = ends.source_id
                and hours.hour_started_at >= {{ _local_hour_started_at("ends.own_last_hour - interval '21 days'") | indent(16) }}
            {{ fence(is_lookup=false) }}
        ) as recent
        inner join {{ ref('stg_video_events__alert_rules') }} as rules
            on
                rules.kind = 'unusual'
                and recent.category = rules.category
        cross join generate_series(0, 3) as numbers (weeks)
        where
            {{ local_hour('recent.hour_started_at') }} + numbers.weeks * interval '7 days' >= ends.own_last_hour
    )

    select
        alerts.rule_name,
        alerts.source_id,
        alerts.category,
        alerts.first_event_type,
        alerts.event_count,
        alerts.started_at,
        alerts.triggered_at,
        null::timestamptz as ended_at
    from ({{ _unusual_alerts_within('wanted', 'ends', none, added_hours) | indent(4) }}) as alerts
{% endmacro %}


{#-
    Query: the hours that a batch may make unusual, or usual: those with a changed event, and those up to eight weeks after
    them; where sources begin or end elsewhere, also those around that.
-#}
{% macro _changed_hours(changed_events, batch) %}
    {#-
        In every state of the ledger from lo to hi, and in those after hi that models may have read, a source begins
        no later than with the first event that all of them have, and no earlier than with it or the first changed
        one. The same holds for its end, where the last of its chunks may be too early an instant, and never
        too late a one. More hours than needed cost time, and nothing else.
    -#}
    {%- set changed -%}
    (
        select
            hours.source_id,
            min(hours.local_hour) as first_hour,
            max(hours.local_hour) as last_hour
        from hours
        group by hours.source_id
    )
    {%- endset %}
    with

    rules as materialized (
        select distinct rules.category
        from {{ ref('stg_video_events__alert_rules') }} as rules
        where rules.kind = 'unusual'
    ),

    hours as materialized (
        select distinct
            events.source_id,
            events.category,
            {{ local_hour('events.occurred_at') }} as local_hour
        from {{ changed_events }} as events
        where exists (select from rules)
    ),

    ends as (
        select
            changed.source_id,
            changed.first_hour as changed_first_hour,
            changed.last_hour as changed_last_hour,
            {{ local_hour('first_chunk.chunk_started_at') }} as first_hour,
            {{ local_hour('coalesce(last_chunk.chunk_ended_at, dropped_sources.last_event_at)') }} as last_hour
        from {{ at_nodes(changed, batch) }} as changed
        {%- for name, direction in {'first_chunk': 'asc', 'last_chunk': 'desc'}.items() %}
        left join lateral (
            select
                chunks.chunk_started_at,
                chunks.chunk_ended_at
            from {{ ref('stg_video_events__event_chunks') }} as chunks
            where
                chunks.source_id = changed.source_id
                and {{ is_visible(batch.lo, 'chunks') }}
                and {{ is_visible(batch.hi, 'chunks') }}
            order by chunks.chunk_started_at {{ direction }}
            limit 1
        ) as {{ name }} on true
        {%- endfor %}
        left join {{ source('raw', 'dropped_sources') }} as dropped_sources
            on changed.source_id = dropped_sources.source_id
    )

    select
        hours.source_id,
        hours.category,
        hours.local_hour + numbers.weeks * interval '7 days' as local_hour
    from hours
    inner join rules on hours.category = rules.category
    cross join generate_series(0, 8) as numbers (weeks)

    union

    select
        ends.source_id,
        rules.category,
        generate_series(ends.first_hour, ends.first_hour + interval '56 days', interval '1 hour')
    from ends
    cross join rules
    where ends.changed_first_hour < ends.first_hour

    union

    select
        ends.source_id,
        rules.category,
        {#- As above: after three weeks of nothing, nothing is usual. #}
        generate_series(
            ends.last_hour,
            least(ends.changed_last_hour, ends.last_hour + interval '21 days'),
            interval '1 hour'
        )
    from ends
    cross join rules
    where ends.changed_last_hour > ends.last_hour
{% endmacro %}


{% macro _alerts_of_hours(weeks) %}
    select
        rules.rule_name,
        judged.source_id,
        judged.category,
        '' as first_event_type,
        judged.event_count,
        {{ _local_hour_started_at('judged.local_hour') | indent(8) }} as started_at,
        {{ _local_hour_started_at("judged.local_hour + interval '1 hour'") | indent(8) }} as triggered_at,
        {{ _local_hour_started_at("judged.local_hour + interval '1 hour'") | indent(8) }} as ended_at
    from ({{ judged_hours(weeks) | indent(4) }}) as judged
    inner join {{ ref('stg_video_events__alert_rules') }} as rules
        on
            rules.kind = 'unusual'
            and judged.category = rules.category
    where judged.is_unusual
{% endmacro %}
