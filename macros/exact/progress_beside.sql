{% macro progress_beside(relation) -%}
    {#- In the schema of the model: with `--defer` or `+schema` that is another one than the target's. -#}
    {{ return(relation.incorporate(path={'identifier': 'model_progress'}, type='table')) }}
{%- endmacro %}
