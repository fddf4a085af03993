{% macro batch_reach(lo) %}
    {#- Of all loads after lo, also those after hi: too far a reach costs time, too short a one rows. -#}
    select
        coalesce(min(coalesce(loads.first_event_at, '-infinity')), 'infinity') as since,
        case
            when bool_or(loads.withdrawn_seq > {{ lo }}) then 'infinity'
            else '-infinity'
        end as recount_until
    from {{ ref('stg_video_events__loads') }} as loads
    where loads.load_seq > {{ lo }} or loads.withdrawn_seq > {{ lo }}
{% endmacro %}
