{% macro changes_of_fct_category_activity_periods(stored, batch, source_periods=none) %}
    with

    periods as (
        {{
            changed_periods(
                stored=stored,
                key=['category'],
                batch=batch,
                recount_from=source_periods or ref('fct_activity_periods'),
            ) | indent(8)
        }}
    )

    {{ named_category_activity_periods('periods', of_batch=true) | indent(4) }}
{% endmacro %}
