{% macro current_definition() -%}
    {%- set parts = (config.get('meta') or {}).get('defined_by', []) -%}
    jsonb_build_object(
        {%- if 'activity_gap' in parts %}
        {#- As it is written: a day and 24 hours are one gap, but tables that exist have it so. #}
        'activity_gap', jsonb_build_object('gap', (interval {{ var_literal('activity_gap') }})::text),
        {%- endif %}
        {%- if 'report_timezone' in parts %}
        'report_timezone', jsonb_build_object('zone', {{ report_timezone() }}),
        {%- endif %}
        {%- if 'alert_rules' in parts %}
        'alert_rules', (
            select coalesce(jsonb_object_agg(rules.rule_name, concat_ws(' ', rules.kind, rules.category, rules.threshold, rules.min_duration)), '{}')
            from {{ ref('alert_rules') }} as rules
        ),
        {%- endif %}
        'event_types', (
            select coalesce(jsonb_object_agg(types.event_type, types.category), '{}')
            from {{ ref('stg_video_events__event_types') }} as types
        )
    )
{%- endmacro %}
