{% macro named_category_activity_periods(periods, of_batch=false) %}
    select
        {{ deterministic_id(['category'], ['started_at']) }} as category_activity_period_id,
        category,
        source_ids,
        cardinality(source_ids) as source_count,
        event_count::bigint as event_count,
        started_at,
        ended_at,
        ended_at - started_at as duration
        {%- if of_batch %},
        is_removed
        {%- endif %}
    from {{ periods }}
{% endmacro %}
