{% macro batch_dropped_before() -%}
    coalesce(nullif(current_setting('video_events.dropped_before', true), ''), '-infinity')::timestamptz
{%- endmacro %}
