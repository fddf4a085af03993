{% macro changed_events(batch, is_net=true) %}
    {#-
        With bounds of their numbers PostgreSQL finds the chunks of the batch by an index, however long
        the history is.
    -#}
    with

    changed_loads as materialized (
        select
            loads.load_id,
            coalesce(loads.first_event_at, '-infinity') as first_event_at,
            {{ visible_at(batch.hi, 'loads') }}::int - {{ visible_at(batch.lo, 'loads') }}::int as sign
        from {{ ref('stg_video_events__loads') }} as loads
        where
            (loads.load_seq > {{ batch.lo }} or loads.withdrawn_seq > {{ batch.lo }})
            {% if is_net -%}
            and {{ visible_at(batch.hi, 'loads') }} <> {{ visible_at(batch.lo, 'loads') }}
            {%- else -%}
            and loads.load_seq <= {{ batch.hi }}
            {%- endif %}
    )

    select
        events.source_id,
        events.event_type_id,
        events.event_type,
        events.category,
        changed_loads.sign,
        events.occurred_at
    from {{ ref('stg_video_events__event_history') }} as events
    inner join changed_loads on events.load_id = changed_loads.load_id
    where
        events.load_id >= (select min(bounds.load_id) from changed_loads as bounds)
        and events.load_id <= (select max(bounds.load_id) from changed_loads as bounds)
        {#- Nor is any older partition looked at. #}
        and {{ chunks_between(
            'events', batch.since or '(select min(bounds.first_event_at) from changed_loads as bounds)'
        ) }}
{% endmacro %}
