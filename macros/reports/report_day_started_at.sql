{% macro report_day_started_at(day) -%}
    (({{ day }})::timestamp at time zone {{ report_timezone() }})
{%- endmacro %}
