{% macro generate_alias_name(custom_alias_name=none, node=none) -%}
    {{ 've_' if node.package_name == 'video_events' and node.resource_type == 'model' }}
    {{- custom_alias_name or node.name }}
{%- endmacro %}
