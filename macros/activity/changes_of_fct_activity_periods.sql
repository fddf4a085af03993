{% macro changes_of_fct_activity_periods(stored, batch) %}
    with

    periods as (
        {{
            changed_periods(
                stored=stored,
                key=['source_id', 'category'],
                batch=batch,
                recount_from=ref('stg_video_events__event_history'),
            ) | indent(8)
        }}
    )

    {{ named_activity_periods('periods', of_batch=true) | indent(4) }}
{% endmacro %}
