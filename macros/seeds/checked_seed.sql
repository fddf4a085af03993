{% macro checked_seed() %}
    {#- Whichever seed the models read, also one of a project that has this one as a package. -#}
    {%- for node in graph.nodes.values() if node.package_name == 'video_events' and node.resource_type == 'model' -%}
        {%- if model.name in ['event_types', 'alert_rules'] and model.unique_id in node.depends_on.nodes -%}
            {{ return(model.name) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return('') }}
{% endmacro %}
