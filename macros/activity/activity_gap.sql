{% macro activity_gap() -%}
    {{ hours_of("interval " ~ var_literal("activity_gap")) }}
{%- endmacro %}
