{% macro live_batch(model_name) %}
    {%- set lo -%}
    (
        select progress.load_seq
        from {{ progress_of(model_name) }} as progress
        where progress.model_name = '{{ model_name }}'
    )
    {%- endset -%}
    {%- set dropped_before -%}
    (
        select coalesce(max(retention.dropped_before), '-infinity')
        from {{ source('raw', 'retention') }} as retention
    )
    {%- endset -%}
    {{ return({
        'lo': lo,
        'hi': '(select counter.load_seq from ' ~ source('raw', 'load_counter') ~ ' as counter)',
        'since': none,
        'recount_until': "'infinity'::timestamptz",
        'dropped_before': dropped_before,
    }) }}
{% endmacro %}
