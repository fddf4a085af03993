{% macro is_separator(extents, runs) -%}
    (
        {{ extents }}.is_separated_before
        and ({{ runs }}.started_at, {{ runs }}.first_event_type)
        = ({{ extents }}.from_at, {{ extents }}.from_event_type)
        or {{ extents }}.is_separated_after
        and ({{ runs }}.started_at, {{ runs }}.first_event_type)
        = ({{ extents }}.to_at, {{ extents }}.to_event_type)
    )
{%- endmacro %}
