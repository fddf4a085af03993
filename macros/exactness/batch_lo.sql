{% macro batch_lo() -%}
    {{ batch_value('lo', '0', 'bigint') }}
{%- endmacro %}
