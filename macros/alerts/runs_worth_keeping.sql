{% macro runs_worth_keeping(runs) %}
    {#-
        A short run in the middle of its bucket can neither be an alert nor become part of one. Of the
        others the first events are known by their times, as many as the longest rule counts.
    -#}
    select
        runs.source_id,
        runs.category,
        runs.first_event_type,
        runs.event_count,
        runs.is_first_in_bucket,
        runs.is_last_in_bucket,
        runs.first_event_times[: coalesce(thresholds.highest, 0)] as first_event_times,
        runs.bucket_started_at,
        runs.started_at,
        runs.ended_at
    from {{ runs }} as runs
    left join (
        select
            rules.category,
            min(rules.threshold) as lowest,
            max(rules.threshold) as highest
        from {{ ref('alert_rules') }} as rules
        where rules.kind = 'consecutive'
        group by rules.category
    ) as thresholds on runs.category = thresholds.category
    where
        runs.is_first_in_bucket
        or runs.is_last_in_bucket
        or runs.event_count >= thresholds.lowest
{% endmacro %}
