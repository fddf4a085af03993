{% macro hours_of(duration) -%}
    {#-
        A day is as long as its date where the session's zone changes its clocks: 23 or 25 hours,
        and what is added to a time would depend on who asks.
    -#}
    make_interval(secs => extract(epoch from {{ duration }}))
{%- endmacro %}
