{% macro mark_of(relation) -%}
    {{ progress_beside(relation) }} as progress
    where progress.model_name = {{ dbt.string_literal(relation.identifier) }}
{%- endmacro %}
