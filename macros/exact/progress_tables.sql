{% macro progress_tables() %}
    {%- set found = {} -%}
    {%- if execute and flags.WHICH in ['run', 'build'] -%}
        {%- for model in graph.nodes.values() if is_stored(model) and model.unique_id in selected_resources -%}
            {%- set table = api.Relation.create(database=model.database, schema=model.schema, identifier=model.alias) -%}
            {%- do found.update({model.schema: progress_beside(table)}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(found.values() | list) }}
{% endmacro %}
