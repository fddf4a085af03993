{% macro live_lo(model_name) -%}
    (
        select progress.load_seq
        from {{ progress_of(model_name) }} as progress
        where progress.model_name = '{{ model_name }}'
    )
{%- endmacro %}
