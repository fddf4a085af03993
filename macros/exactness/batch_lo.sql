{% macro batch_lo() -%}
    coalesce(nullif(current_setting('video_events.batch_lo', true), ''), '0')::bigint
{%- endmacro %}
