{% macro activity_gap() -%}
    interval '{{ var("activity_gap") }}'
{%- endmacro %}
