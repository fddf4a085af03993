{% macro run_bucket(occurred_at=none) -%}
    {#- Long enough that few runs are cut, short enough that recomputing one is nothing. -#}
    {%- if occurred_at -%}
    date_bin(interval '10 minutes', {{ occurred_at }}, timestamptz '2000-01-01 00:00:00+00')
    {%- else -%}
    interval '10 minutes'
    {%- endif -%}
{%- endmacro %}
