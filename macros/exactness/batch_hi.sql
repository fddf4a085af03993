{% macro batch_hi() -%}
    coalesce(nullif(current_setting('video_events.batch_hi', true), ''), '9223372036854775807')::bigint
{%- endmacro %}
