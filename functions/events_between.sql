-- Nothing that keeps PostgreSQL from taking it into the query that calls it: no order, no rights of its own.
select
    events.load_id,
    events.source_id,
    events.source_name,
    events.event_type,
    events.category,
    events.attributes,
    events.occurred_at
from {{ ref('stg_video_events__events') }} as events
where
    {{ chunks_between('events', 'since', ['until']) | indent(4) }}
    and events.occurred_at >= since
    and events.occurred_at < until
    and events.source_id = any(
        array(
            select sources.source_id
            from {{ ref('stg_video_events__sources') }} as sources
            where
                {{ this.identifier }}.{{ name_of_argument('source_name') }} is null
                or sources.source_name = {{ this.identifier }}.{{ name_of_argument('source_name') }}
        )
    )
