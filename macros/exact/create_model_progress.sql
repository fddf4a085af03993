{% macro create_model_progress() %}
    {%- for progress in progress_tables() %}
    {{ create_progress_table(progress) | indent(4) }}
    {{ grant_progress(progress) | indent(4) }}
    {%- endfor -%}
{% endmacro %}
