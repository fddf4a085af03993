{% macro changes_of_fct_daily_activity(stored, batch) %}
    with

    days as materialized (
        {{ _changed_days(batch) | indent(8) }}
    ),

    counts as (
        {{ daily_counts(at_nodes('days', batch)) | indent(8) }}
    )

    select
        named.*,
        named.event_count = 0 as is_removed
    from ({{ named_daily_activity('counts') | indent(4) }}) as named
{% endmacro %}


{#- Query: source, category and day of which a batch may have changed the activity. -#}
{% macro _changed_days(batch) %}
    {#-
        Also what came and went: the models that days are counted from may be further on than hi,
        one more than the other, and the rows made from them then know of loads after hi.
    #}
    with

    changed_events as (
        {{ changed_events(batch, is_net=false) | indent(8) }}
    ),

    islands as (
        {{ periods_of('changed_events', ['source_id', 'category'], is_signed=true) | indent(8) }}
    )

    {#-
        An event makes the time to its neighbours active, and they are less than a gap away. The
        hour it is counted in may begin the day before, where the zone's offset is no whole hours.
    #}
    select distinct
        islands.source_id,
        islands.category,
        generate_series(
            {{ report_date(
                "date_bin(interval '1 hour', islands.started_at - islands.activity_gap"
                ~ ", timestamptz '2000-01-01 00:00:00+00')"
            ) }}::timestamp,
            {{ report_date('islands.ended_at + islands.activity_gap') }}::timestamp,
            interval '1 day'
        )::date as activity_date
    from (
        {{ _with_activity_gap('islands') | indent(8) }}
    ) as islands
{% endmacro %}


{% macro daily_counts(days) %}
    {%- set hours = ref('fct_hourly_detections') -%}
    {%- set periods = ref('fct_activity_periods') -%}
    {#- Short index scans for each day, whatever the size of history. #}
    select
        bounds.source_id,
        bounds.category,
        coalesce(counted.event_count, 0) as event_count,
        measured.period_count,
        extract(epoch from measured.active_duration)
        / extract(epoch from bounds.day_ended_at - bounds.day_started_at) as occupancy,
        bounds.activity_date,
        measured.active_duration
    from (
        select
            *,
            {{ report_day_started_at('activity_date') }} as day_started_at,
            {{ report_day_started_at('activity_date + 1') }} as day_ended_at
        from {{ days }} as days
    ) as bounds
    cross join lateral (
        select sum(hours.event_count) as event_count
        from {{ hours }} as hours
        where
            hours.source_id = bounds.source_id
            and hours.category = bounds.category
            and hours.hour_started_at >= bounds.day_started_at
            and hours.hour_started_at < bounds.day_ended_at
        {{ fence() }}
    ) as counted
    cross join lateral (
        select
            count(*) filter (where periods.started_at >= bounds.day_started_at) as period_count,
            coalesce(
                sum(
                    least(periods.ended_at, bounds.day_ended_at)
                    - greatest(periods.started_at, bounds.day_started_at)
                ),
                interval '0'
            ) as active_duration
        from {{ periods }} as periods
        where
            {{ same_key('periods', 'bounds', ['source_id', 'category']) }}
            and periods.started_at < bounds.day_ended_at
            {#- Periods do not overlap: only the last one before midnight can reach over it. #}
            and periods.started_at >= coalesce(
                (
                    select max(earlier.started_at)
                    from {{ periods }} as earlier
                    where
                        {{ same_key('earlier', 'bounds', ['source_id', 'category']) }}
                        and earlier.started_at <= bounds.day_started_at
                ),
                bounds.day_started_at
            )
            and periods.ended_at >= bounds.day_started_at
        {{ fence() }}
    ) as measured
{% endmacro %}


{% macro named_daily_activity(counts) %}
    select
        counts.source_id,
        sources.source_name,
        counts.category,
        counts.event_count::bigint as event_count,
        counts.period_count,
        counts.occupancy::double precision as occupancy,
        counts.activity_date,
        counts.active_duration,
        {{ seconds_of('counts.active_duration') }} as active_duration_seconds
    from {{ counts }} as counts
    inner join {{ ref('stg_video_events__sources') }} as sources on counts.source_id = sources.source_id
{% endmacro %}


{% macro report_date(moment) -%}
    (({{ moment }}) at time zone {{ report_timezone() }})::date
{%- endmacro %}


{% macro report_day_started_at(day) -%}
    (({{ day }})::timestamp at time zone {{ report_timezone() }})
{%- endmacro %}


{% macro report_timezone() -%}
    {{ var_literal('report_timezone') }}
{%- endmacro %}


{% macro weekday_label(local_time) -%}
    {#- Names alone would be sorted as words, Friday first. -#}
    to_char({{ local_time }}, 'ID FMDay')
{%- endmacro %}
