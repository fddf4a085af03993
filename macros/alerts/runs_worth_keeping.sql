{% macro runs_worth_keeping(runs) %}
    {#- A short run in the middle of its bucket can neither be an alert nor become part of one. #}
    select runs.*
    from {{ runs }} as runs
    where
        runs.is_first_in_bucket
        or runs.is_last_in_bucket
        or runs.event_count >= (
            select min(rules.threshold)
            from {{ ref('alert_rules') }} as rules
            where
                rules.kind = 'consecutive'
                and rules.category = runs.category
        )
{% endmacro %}
