{% macro batch_hi() -%}
    {{ batch_value('hi', '9223372036854775807', 'bigint') }}
{%- endmacro %}
