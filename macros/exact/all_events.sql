{% macro all_events() %}
    select history.*
    from {{ ref('stg_video_events__event_history') }} as history
    where {{ visible_at(hi_from_scratch(), 'history') }}
{% endmacro %}
