{% macro shareable_models() %}
    {%- set public = graph.nodes.values()
        | selectattr('resource_type', 'equalto', 'model')
        | selectattr('access', 'equalto', 'public') | sort(attribute='name') | list -%}
    {%- set public_ids = public | map(attribute='unique_id') | list -%}
    {%- set views = ['view', 'stable_view'] -%}
    {%- set found = [] -%}
    {%- set found_ids = [] -%}
    {%- for model in public if 'source_id' in model.columns -%}
        {%- if model.config.materialized not in views or model.depends_on.nodes | reject('in', public_ids) | list -%}
            {%- do found.append({'model': model, 'is_report': false}) -%}
            {%- do found_ids.append(model.unique_id) -%}
        {%- endif -%}
    {%- endfor -%}
    {#- As often as there are models: a report may be made of another report. -#}
    {%- for _ in public -%}
        {%- for model in public if model.unique_id not in found_ids and model.config.materialized in views -%}
            {%- if not model.depends_on.nodes | reject('in', found_ids) | list -%}
                {%- do found.append({'model': model, 'is_report': true}) -%}
                {%- do found_ids.append(model.unique_id) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}
