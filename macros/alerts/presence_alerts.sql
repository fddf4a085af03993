{% macro is_presence(alerts) -%}
    {{ alerts }}.first_event_type = ''
{%- endmacro %}


{% macro presence_alerts(periods) %}
    select
        rules.rule_name,
        periods.source_id,
        periods.category,
        '' as first_event_type,
        periods.event_count,
        periods.started_at,
        periods.started_at + {{ hours_of('rules.min_duration') }} as triggered_at,
        periods.ended_at
    from {{ periods }} as periods
    inner join {{ ref('alert_rules') }} as rules
        on
            rules.kind = 'presence'
            and periods.category = rules.category
            and periods.ended_at - periods.started_at >= rules.min_duration
{% endmacro %}
