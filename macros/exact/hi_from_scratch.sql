{% macro hi_from_scratch() -%}
    {#- Where no batch is begun, as in `dbt show` and unit tests, all that is visible. -#}
    {{ context.get('exact_hi', 9223372036854775807) }}
{%- endmacro %}
