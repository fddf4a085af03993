{% macro merge_periods(parts, key, gap=none) %}
    select
        {{ key | join(', ') }},
        sum(event_count)::bigint as event_count,
        {%- if 'source_id' not in key %}
        array_agg(distinct source_id order by source_id) as source_ids,
        {%- endif %}
        bool_or(is_recount_needed) as is_recount_needed,
        min(started_at) as started_at,
        max(ended_at) as ended_at
    from (
        select
            gaps.*,
            {#- The default frame has all equal rows in it: they get one number, in any order. #}
            count(*) filter (where gaps.is_first) over (
                partition by {{ key | join(', ') }}
                order by gaps.started_at, gaps.ended_at
            ) as period_number
        from (
            select
                parts.*,
                coalesce(
                    parts.started_at - max(parts.ended_at) over (
                        partition by {{ key | join(', ') }}
                        order by parts.started_at, parts.ended_at
                        rows between unbounded preceding and 1 preceding
                    ) >= {{ gap or activity_gap() }},
                    true
                ) as is_first
            from {{ parts }} as parts
        ) as gaps
    ) as numbered
    group by {{ key | join(', ') }}, period_number
{% endmacro %}
