{% macro is_stored(node) -%}
    {{ return(node.package_name == 'video_events' and node.config.get('incremental_strategy') == 'replace_changed') }}
{%- endmacro %}
