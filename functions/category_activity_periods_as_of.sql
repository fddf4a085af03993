{{ whole_periods_as_of(['category']) }}
{{ refuse_what_is_gone() }}

return query
with

events as (
    {{ events_as_of() | indent(4) }}
),

buckets as (
    {{ event_buckets('events') | indent(4) }}
),

periods as (
    {{ merge_periods('buckets', ['category']) | indent(4) }}
),

final as (
    {{ named_category_activity_periods('periods') | indent(4) }}
)

select * from final
where
    started_at < until
    and ended_at >= since
order by
    category collate "C",
    started_at
