{% macro live_hi() -%}
    (select counter.load_seq from {{ source('raw', 'load_counter') }} as counter)
{%- endmacro %}
