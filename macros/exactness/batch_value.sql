{% macro batch_value(name, default, type) -%}
    coalesce(nullif(current_setting('video_events.batch_{{ name }}', true), ''), '{{ default }}')::{{ type }}
{%- endmacro %}
