{% macro changes_of_fct_daily_activity(stored, batch) %}
    with

    days as (
        {{ changed_days(batch) | indent(8) }}
    ),

    counts as (
        {{ daily_counts('days') | indent(8) }}
    )

    select
        named.*,
        named.event_count = 0 as is_removed
    from ({{ named_daily_activity('counts') | indent(4) }}) as named
{% endmacro %}
