{% macro chunks_between(history, since, until=[]) -%}
    {#- What PostgreSQL cannot know: no chunk goes over midnight in UTC. -#}
    {{ history }}.chunk_started_at >= date_bin(interval '1 day', {{ since }}, timestamptz '2000-01-01 00:00:00+00')
    and {{ history }}.chunk_ended_at >= {{ since }}
    {%- for instant in until %}
    and {{ history }}.chunk_started_at <= {{ instant }}
    {%- endfor %}
{%- endmacro %}
