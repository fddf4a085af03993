{% macro progress_of(model_name) -%}
    {#- Where the model is: with `--defer` that may be another schema than the target's. -#}
    {%- set model = ref(model_name) -%}
    {{ source('progress', 'model_progress').incorporate(path={'database': model.database, 'schema': model.schema}) }}
{%- endmacro %}
