{% macro touched_periods(islands, stored, key) %}
    {#-
        An index scan or two per island, whatever the size of history: stored periods do not
        overlap, so at most the last one that starts before an island can reach into it.
    -#}
    select distinct on ({{ key | join(', ') }}, started_at)
        {% for column in key %}touched.{{ column }},
        {% endfor -%}
        touched.event_count,
        {% if 'source_id' not in key %}touched.source_ids,
        {% endif -%}
        touched.started_at,
        touched.ended_at
    from {{ islands }} as islands
    cross join lateral (
        select stored.*
        from {{ stored }} as stored
        where
            {{ same_key('stored', 'islands', key) }}
            and stored.started_at < islands.ended_at + {{ activity_gap() }}
            and stored.started_at >= coalesce(
                (
                    select max(earlier.started_at)
                    from {{ stored }} as earlier
                    where
                        {{ same_key('earlier', 'islands', key) }}
                        and earlier.started_at <= islands.started_at
                ),
                islands.started_at
            )
            and stored.ended_at > islands.started_at - {{ activity_gap() }}
        {{ fence() }}
    ) as touched
{% endmacro %}
