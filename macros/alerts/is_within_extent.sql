{% macro is_within_extent(extents, runs) -%}
    {{ runs }}.source_id = {{ extents }}.source_id
    and {{ runs }}.started_at between {{ extents }}.from_at and {{ extents }}.to_at
    {#- Runs that start at one instant stand in the order of their event types. #}
    and ({{ runs }}.started_at, {{ runs }}.first_event_type collate "C")
    >= ({{ extents }}.from_at, {{ extents }}.from_event_type collate "C")
    and ({{ runs }}.started_at, {{ runs }}.first_event_type collate "C")
    <= ({{ extents }}.to_at, {{ extents }}.to_event_type collate "C")
{%- endmacro %}
