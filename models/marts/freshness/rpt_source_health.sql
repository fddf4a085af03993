{{ config(materialized='stable_view') }}

with

sources as (
    select * from {{ ref('dim_sources') }}
),

loads as (
    select * from {{ ref('stg_video_events__loads') }}
    where withdrawn_seq is null
),

-- How events came in: the loads of the last four weeks, and no older chunk. Days may have 23 hours.
recent_loads as (
    select * from loads
    where published_at >= (
        select max(all_loads.published_at) - interval '672 hours' from loads as all_loads
    )
),

deliveries as (
    select
        parts.source_id,
        parts.load_id,
        recent_loads.load_seq,
        sum(parts.event_count) as event_count,
        parts.chunk_started_at,
        parts.chunk_ended_at,
        min(parts.first_event_at) as first_event_at,
        max(parts.last_event_at) as last_event_at
    from {{ ref('stg_video_events__deliveries') }} as parts
    inner join recent_loads on parts.load_id = recent_loads.load_id
    where parts.last_load_id >= (select min(bounds.load_id) from recent_loads as bounds)
    group by
        parts.source_id,
        parts.load_id,
        recent_loads.load_seq,
        parts.chunk_started_at,
        parts.chunk_ended_at
),

-- An event is late when an earlier load had brought a later one of its source.
known as (
    select
        source_id,
        load_id,
        sum(event_count)::bigint as event_count,
        min(first_event_at) as first_event_at,
        max(last_event_at) as last_event_at,
        max(max(last_event_at)) over (
            partition by source_id
            order by load_seq
            rows between unbounded preceding and 1 preceding
        ) as known_until
    from deliveries
    group by
        source_id,
        load_id,
        load_seq
),

late as (
    select
        deliveries.source_id,
        sum(coalesce(parts.event_count, deliveries.event_count))::bigint as event_count
    from deliveries
    inner join known
        on
            deliveries.source_id = known.source_id
            and deliveries.load_id = known.load_id
            and deliveries.first_event_at < known.known_until
    -- Only what lies across the end of what was known is counted event by event.
    left join lateral (
        select count(*) as event_count
        from {{ ref('stg_video_events__events') }} as events
        where
            events.source_id = deliveries.source_id
            and events.load_id = deliveries.load_id
            and events.chunk_started_at = deliveries.chunk_started_at
            and events.chunk_ended_at = deliveries.chunk_ended_at
            and events.occurred_at < known.known_until
        {{ fence() }}
    ) as parts on deliveries.last_event_at >= known.known_until
    group by deliveries.source_id
),

arrivals as (
    select
        known.source_id,
        sum(known.event_count)::bigint as event_count,
        sum(recent_loads.rows_duplicate)::bigint as duplicate_row_count,
        sum(recent_loads.rows_rejected)::bigint as rejected_row_count,
        max(known.known_until - known.first_event_at) as longest_delay_duration,
        max(known.last_event_at - recent_loads.published_at) as clock_ahead_duration
    from known
    inner join recent_loads on known.load_id = recent_loads.load_id
    group by known.source_id
),

-- How it usually is: the four weeks before the last event of each source.
recent_periods as (
    select
        periods.source_id,
        periods.started_at,
        max(periods.ended_at) over (
            partition by periods.source_id
            order by periods.started_at, periods.ended_at
            rows between unbounded preceding and 1 preceding
        ) as silent_since
    from {{ ref('fct_activity_periods') }} as periods
    inner join sources on periods.source_id = sources.source_id
    where periods.started_at >= sources.last_event_at - interval '672 hours'
),

pauses as (
    select
        source_id,
        {#- Of two in the middle the shorter one: an average of lengths is none of them. #}
        percentile_disc(0.5) within group (order by started_at - silent_since)
            as usual_pause_duration,
        max(started_at - silent_since) as longest_pause_duration
    from recent_periods
    where started_at > silent_since
    group by source_id
),

measured as (
    select
        sources.source_id,
        sources.source_name,
        coalesce(late.event_count, 0) as late_event_count,
        coalesce(late.event_count / nullif(arrivals.event_count, 0)::double precision, 0)
            as late_event_share,
        coalesce(arrivals.duplicate_row_count, 0) as duplicate_row_count,
        coalesce(arrivals.rejected_row_count, 0) as rejected_row_count,
        sources.last_event_at,
        greatest({{ clock() }} - sources.last_event_at, interval '0') as silent_duration,
        pauses.usual_pause_duration,
        pauses.longest_pause_duration,
        greatest(arrivals.longest_delay_duration, interval '0') as longest_delay_duration,
        greatest(arrivals.clock_ahead_duration, interval '0') as clock_ahead_duration
    from sources
    left join pauses on sources.source_id = pauses.source_id
    left join arrivals on sources.source_id = arrivals.source_id
    left join late on sources.source_id = late.source_id
),

final as (
    select
        source_id,
        source_name,
        late_event_count,
        late_event_share,
        duplicate_row_count,
        rejected_row_count,
        silent_duration > longest_pause_duration as is_unusually_silent,
        clock_ahead_duration > interval '0' as is_clock_ahead,
        last_event_at,
        silent_duration,
        usual_pause_duration,
        longest_pause_duration,
        longest_delay_duration,
        clock_ahead_duration,
        {%- for length in [
            'silent_duration', 'usual_pause_duration', 'longest_pause_duration',
            'longest_delay_duration', 'clock_ahead_duration',
        ] %}
        {{ seconds_of(length) }} as {{ length }}_seconds,
        {%- endfor %}
        last_event_at at time zone {{ report_timezone() }} as last_event_at_local
    from measured
)

select * from final
