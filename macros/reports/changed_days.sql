{% macro changed_days(batch) %}
    {#-
        Also what came and went: the models that days are counted from may be further on than hi,
        one more than the other, and the rows made from them then know of loads after hi.
    #}
    with

    changed_events as (
        {{ changed_events(batch, is_net=false) | indent(8) }}
    ),

    changed_buckets as (
        {{ event_buckets('changed_events', is_signed=true) | indent(8) }}
    ),

    islands as (
        {{ merge_periods('changed_buckets', ['source_id', 'category']) | indent(8) }}
    )

    {#-
        An event makes the time to its neighbours active, and they are less than a gap away. The
        hour it is counted in may begin the day before, where the zone's offset is no whole hours.
    #}
    select distinct
        islands.source_id,
        islands.category,
        days.day::date as activity_date
    from islands
    cross join lateral generate_series(
        {{ report_date(
            "date_bin(interval '1 hour', islands.started_at - " ~ activity_gap()
            ~ ", timestamptz '2000-01-01 00:00:00+00')"
        ) }}::timestamp,
        {{ report_date('islands.ended_at + ' ~ activity_gap()) }}::timestamp,
        interval '1 day'
    ) as days (day)
{% endmacro %}
