{% macro live_lo(model_name) -%}
    (
        select progress.load_seq
        from {{ source('progress', 'model_progress') }} as progress
        where progress.model_name = '{{ model_name }}'
    )
{%- endmacro %}
