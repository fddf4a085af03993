{% macro is_stored(node) -%}
    {{ return(node.package_name == 'video_events' and node.config.get('materialized') == 'exact') }}
{%- endmacro %}
