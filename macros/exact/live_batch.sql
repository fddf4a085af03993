{% macro live_batch(model_name) %}
    {%- set lo -%}
    (
        {#- What is not of this ledger cannot be brought up to date: an error, the only one a view can raise. #}
        select
            case
                when {{ is_of_this_ledger('progress') | indent(16) }} then progress.load_seq
                else (
                    progress.model_name
                    || ' holds loads that schema raw does not have any more; rebuild it: dbt build --full-refresh'
                )::bigint
            end
        from {{ mark_of(ref(model_name)) | indent(8) }}
    )
    {%- endset -%}
    {{ return({
        'lo': lo,
        'hi': '(select counter.load_seq from ' ~ source('raw', 'load_counter') ~ ' as counter)',
        'since': none,
        'recount_until': "'infinity'::timestamptz",
        'dropped_before': dropped_before(),
    }) }}
{% endmacro %}
