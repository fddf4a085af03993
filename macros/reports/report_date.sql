{% macro report_date(moment) -%}
    (({{ moment }}) at time zone {{ report_timezone() }})::date
{%- endmacro %}
