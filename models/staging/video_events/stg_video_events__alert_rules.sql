-- No CTEs, see stg_video_events__loads. Rules of a category that is not to be alerted of are none.
select
    rules.rule_name,
    rules.kind,
    rules.category,
    rules.threshold,
    rules.min_duration
from {{ ref('alert_rules') }} as rules
left join {{ ref('categories') }} as categories on rules.category = categories.category
where categories.is_alerted is not false
