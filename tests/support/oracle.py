"""What the marts must hold, computed anew from all visible events by other means.

Nothing here shares a line with the models: periods come from PostgreSQL's ``range_agg`` over open
ranges ``(t, t + gap)``, runs from ``lag``. Relations are compared as multisets of rows.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import Connection
from psycopg.rows import TupleRow

EVENTS = """
    visible as (
        select e.source_id, s.source_name, t.event_type_id, t.event_type,
               coalesce(c.category, 'other') as category, e.event_time as t,
               coalesce(own.activity_gap, '{gap}') as gap, l.load_id, l.load_seq, l.rows_rejected,
               l.rows_duplicate
        from {events} e
        join raw.loads l on l.load_id = e.load_id
        join raw.sources s on s.source_id = e.source_id
        join raw.event_types t on t.event_type_id = e.event_type_id
        left join {schema}_internal.event_types c on c.event_type = t.event_type
        left join {schema}_internal.categories own on own.category = coalesce(c.category, 'other')
        where l.load_seq is not null and l.withdrawn_seq is null
    )
"""

PERIODS = """
    periods as (
        select p.source_id, p.source_name, p.category, count(*) as event_count,
               lower(p.period) as started_at, upper(p.period) - p.gap as ended_at
        from (
            select source_id, source_name, category, gap,
                   unnest(range_agg(tstzrange(t, t + gap, '()'))) as period
            from visible group by 1, 2, 3, 4
        ) p
        join visible v
          on v.source_id = p.source_id and v.category = p.category
         and v.t >= lower(p.period) and v.t < upper(p.period)
        group by 1, 2, 3, p.period, p.gap
    )
"""

ACTIVITY_PERIODS = """
    select source_id, source_name, category, event_count, started_at, ended_at,
           ended_at - started_at as duration,
           (extract(epoch from ended_at) - extract(epoch from started_at))::double precision
               as duration_seconds
    from periods
"""

CATEGORY_PERIODS = """
    select found.*, (
        select string_agg(s.source_name, ', ' order by s.source_id)
        from raw.sources s where s.source_id = any (found.source_ids)
    ) as source_names
    from (
        select p.category, array_agg(distinct v.source_id order by v.source_id) as source_ids,
               count(distinct v.source_id)::int as source_count, count(*) as event_count,
               lower(p.period) as started_at, upper(p.period) - p.gap as ended_at,
               upper(p.period) - p.gap - lower(p.period) as duration,
               extract(epoch from upper(p.period) - p.gap - lower(p.period))::float8
                   as duration_seconds
        from (
            select category, gap, unnest(range_agg(tstzrange(t, t + gap, '()'))) as period
            from visible group by 1, 2
        ) p
        -- Looked up period by period, not every event beside every period.
        cross join lateral (
            select source_id from visible
            where category = p.category and t >= lower(p.period) and t < upper(p.period) offset 0
        ) v
        group by 1, p.period, p.gap
    ) found
"""

HOURLY = """
    select source_id, source_name, event_type, category, count(*) as event_count,
           date_trunc('hour', t, 'UTC') as hour_started_at
    from visible group by source_id, source_name, event_type, category, 6
"""

SOURCES = """
    select source_id, source_name, count(*) as event_count,
           min(t) as first_event_at, max(t) as last_event_at
    from visible group by 1, 2
"""

EVENT_TYPES = """
    select t.event_type_id, t.event_type, coalesce(c.category, 'other') as category
    from raw.event_types t left join {schema}_internal.event_types c using (event_type)
"""

RULES = """(
        select r.* from {schema}_internal.alert_rules r
        left join {schema}_internal.categories c using (category)
        where coalesce(c.is_alerted, true)
    )"""

# Hours by the clock as it strikes. After eight weeks of nothing, nothing is as usual.
UNUSUAL = """(with hours as (
        select source_id, source_name, category, count(*) as event_count,
               date_trunc('hour', t at time zone '{zone}') as hour
        from visible group by 1, 2, 3, 5
    ),
    clock as (
        select date_trunc('hour', strike at time zone '{zone}') as hour, min(strike) as started_at,
               max(strike) + interval '1 h' as ended_at
        from (
            select generate_series(date_trunc('hour', min(t), 'UTC'), max(t), '1 h') as strike
            from visible
        ) strikes group by 1
    ),
    spans as (
        select source_id, date_trunc('hour', min(t) at time zone '{zone}') as first_hour,
               date_trunc('hour', max(t) at time zone '{zone}') as last_hour,
               max(date_trunc('hour', max(t) at time zone '{zone}')) over () as last_hour_of_all
        from visible group by 1
    ),
    due as (
        select distinct source_id, source_name, category, hour + n * interval '7 d' as hour
        from hours, generate_series(0, 8) n
    ),
    usual as (
        select due.source_id, due.category, due.hour, count(*) as weeks,
               percentile_cont(0.25) within group (order by coalesce(past.event_count, 0)) as low,
               percentile_cont(0.75) within group (order by coalesce(past.event_count, 0)) as high
        from due join spans using (source_id) cross join generate_series(1, 8) n
        left join hours past on past.source_id = due.source_id and past.category = due.category
         and past.hour = due.hour - n * interval '7 d'
        where due.hour - n * interval '7 d' > spans.first_hour group by 1, 2, 3
    )
    select rule_name, source_id, due.source_name, category, coalesce(event_count, 0) as event_count,
           started_at, ended_at, hour < last_hour as is_over, hour
    from due join spans using (source_id) join clock using (hour)
    join usual using (source_id, category, hour)
    left join hours using (source_id, category, hour)
    join {rules} r using (category)
    where r.kind = 'unusual' and hour > first_hour and hour < last_hour_of_all and weeks >= 4 and (
        coalesce(event_count, 0) < low - 1.5 * greatest(high - low, 1)
        or coalesce(event_count, 0) > high + 1.5 * greatest(high - low, 1)
    )) unusual
""".replace("{rules}", RULES)

ALERTS = """
    select r.rule_name, runs.source_id, runs.source_name, runs.category, runs.first_event_type,
           runs.event_count, runs.times[1] as started_at, runs.times[r.threshold] as triggered_at,
           runs.times[runs.event_count] as ended_at
    from (
        select source_id, source_name, category, run, count(*) as event_count,
               array_agg(t order by place) as times,
               (array_agg(event_type order by place))[1] as first_event_type
        from (
            select *, sum(is_new) over (partition by source_id order by place) as run
            from (
                select *, (lag(category) over at_source is distinct from category)::int as is_new,
                       row_number() over at_source as place
                from visible
                window at_source as (partition by source_id order by t, event_type collate "C")
            ) marked
        ) numbered
        group by 1, 2, 3, 4
    ) runs
    join {rules} r
      on r.kind = 'consecutive' and r.category = runs.category and runs.event_count >= r.threshold
    union all
    select r.rule_name, p.source_id, p.source_name, p.category, '', p.event_count, p.started_at,
           p.started_at + r.min_duration, p.ended_at
    from periods p
    join {rules} r
      on r.kind = 'presence' and r.category = p.category
     and p.ended_at - p.started_at >= r.min_duration
    union all
    select r.rule_name, p.source_id, p.source_name, p.category, '', 0, p.ended_at,
           p.ended_at + r.min_duration, p.next_at
    from (
        select *, min(started_at) over (
            partition by source_id, category order by started_at
            rows between 1 following and 1 following
        ) as next_at
        from periods
    ) p
    join {rules} r
      on r.kind = 'absence' and r.category = p.category and p.next_at - p.ended_at >= r.min_duration
    union all
    select rule_name, source_id, source_name, category, '', event_count, started_at, ended_at,
           ended_at
    from {unusual} where is_over
""".replace("{rules}", RULES).replace("{unusual}", UNUSUAL)

OPEN_ALERTS = """
    select r.rule_name, p.source_id, p.source_name, p.category, '', 0, max(p.ended_at),
           max(p.ended_at) + r.min_duration, null
    from periods p
    join {rules} r on r.kind = 'absence' and r.category = p.category
    group by r.rule_name, r.min_duration, 2, 3, 4
    having now() >= max(p.ended_at) + r.min_duration
    union all
    select rule_name, source_id, source_name, category, '', event_count, started_at, ended_at, null
    from {unusual} where not is_over
""".replace("{rules}", RULES).replace("{unusual}", UNUSUAL)

BUSY_HOURS = """
    select p.source_id, p.source_name, p.category, w.weekday, w.hour_of_day,
           coalesce(n.event_count, 0) as event_count, coalesce(o.week_count, 0)::int as week_count
    from (select distinct source_id, source_name, category from visible) p
    cross join (select * from generate_series(1, 7) weekday, generate_series(0, 23) hour_of_day) w
    left join (
        select source_id, category, to_char(t at time zone '{zone}', 'ID')::int as weekday,
               to_char(t at time zone '{zone}', 'HH24')::int as hour_of_day, count(*) as event_count
        from visible group by 1, 2, 3, 4
    ) n using (source_id, category, weekday, hour_of_day)
    left join (
        select source_id, to_char(hour, 'ID')::int as weekday,
               to_char(hour, 'HH24')::int as hour_of_day, count(*) as week_count
        from (
            select source_id, generate_series(
                date_trunc('hour', min(t) at time zone '{zone}'),
                max(t) at time zone '{zone}', '1 hour'
            ) as hour
            from visible group by 1
        ) hours
        group by 1, 2, 3
    ) o using (source_id, weekday, hour_of_day)
"""

DWELL_TIMES = """
    select source_id, source_name, category, count(*) as period_count, avg(length) as mean_duration,
           (array_agg(date_trunc('second', length) order by length))[ceil(count(*) * 0.5)]
               as median_duration,
           (array_agg(date_trunc('second', length) order by length))[ceil(count(*) * 0.95)]
               as p95_duration,
           max(length) as longest_duration
    from (select *, ended_at - started_at as length from periods) measured group by 1, 2, 3
"""

DWELL_DISTRIBUTION = """
    select p.source_id, p.source_name, p.category, b.bucket,
           count(*) filter (where p.length >= b.low and p.length < b.high) as period_count
    from (select *, ended_at - started_at as length from periods) p
    cross join (
        values (1, interval '0', interval '1 us'), (2, '1 us', '10 s'), (3, '10 s', '1 min'),
               (4, '1 min', '5 min'), (5, '5 min', '10 min'), (6, '10 min', '30 min'),
               (7, '30 min', '1 h'), (8, '1 h', '1000 years')
    ) b (bucket, low, high)
    group by 1, 2, 3, 4
"""

DAILY_ALERTS = """
    select rule_name, source_id, source_name, category, count(*) as alert_count,
           sum(event_count)::bigint as event_count,
           to_char(triggered_at at time zone '{zone}', 'YYYY-MM-DD')::date as alert_date
    from ({alerts}) alerts group by 1, 2, 3, 4, 7
""".replace("{alerts}", ALERTS)

DAILY_ACTIVITY = """
    select source_id, source_name, category, event_count, coalesce(period_count, 0) as period_count,
           day as activity_date, coalesce(active_duration, '0') as active_duration,
           coalesce(extract(epoch from active_duration), 0)::float8 as active_duration_seconds,
           coalesce(share, 0)::double precision as occupancy
    from (
        select source_id, source_name, category, (t at time zone '{zone}')::date as day,
               count(*) as event_count
        from visible group by 1, 2, 3, 4
    ) events
    left join (
        select source_id, category, (started_at at time zone '{zone}')::date as day,
               count(*) as period_count
        from periods group by 1, 2, 3
    ) begun using (source_id, category, day)
    left join (
        select source_id, category, day::date,
               sum(upper(part) - lower(part)) as active_duration,
               extract(epoch from sum(upper(part) - lower(part)))
               / extract(epoch from upper(whole) - lower(whole)) as share
        from (
            select source_id, category, day, whole, whole * tstzrange(started_at, ended_at) as part
            from periods
            join (
                select day, tstzrange(
                    day at time zone '{zone}', (day + interval '1 day') at time zone '{zone}'
                ) as whole
                from generate_series(
                    (select min(t) at time zone '{zone}' from visible)::date::timestamp,
                    (select max(t) at time zone '{zone}' from visible), '1 day'
                ) day
            ) days on whole && tstzrange(started_at, ended_at)
        ) split
        group by source_id, category, day, whole
    ) active using (source_id, category, day)
"""

ALL_DAYS = """
    select s.source_id, s.source_name, s.category, coalesce(d.event_count, 0) as event_count,
           coalesce(d.period_count, 0) as period_count, coalesce(d.occupancy, 0) as occupancy,
           s.day as activity_date, coalesce(d.active_duration, '0') as active_duration,
           (select count(*) from generate_series(0, 47) h
            where s.day = ((s.day::timestamp at time zone '{zone}' + h * interval '1 hour')
                           at time zone '{zone}')::date) * interval '1 hour' as day_duration
    from (
        select distinct v.source_id, v.source_name, v.category, day::date as day
        from visible v
        join (
            select source_id, generate_series(
                min(t at time zone '{zone}')::date::timestamp,
                (select max(t at time zone '{zone}') from visible), '1 day'
            ) as day
            from visible group by 1
        ) days using (source_id)
    ) s
    left join ({daily}) d
      on d.source_id = s.source_id and d.category = s.category and d.activity_date = s.day
""".replace("{daily}", DAILY_ACTIVITY)

# From the clock of the zone as it strikes, not from a series of local times.
HOURS = """
    select distinct date_trunc('hour', hour at time zone '{zone}') as local_hour
    from generate_series(
        (select date_trunc('hour', min(t), '{zone}') from visible),
        (select max(t) from visible), '30 minutes'
    ) hour
"""

WEEKLY_CHANGES = """
    select * from (with days as (
        select *, activity_date - extract(isodow from activity_date)::int + 1 as week_date
        from ({daily}) daily
    ),
    weeks as (
        select s.source_id, s.source_name, s.category, w.week::date as week_date,
               (select coalesce(sum(d.event_count), 0)::bigint from days d
                where d.source_id = s.source_id and d.category = s.category
                  and d.week_date = w.week::date) as event_count
        from (select source_id, source_name, category, min(week_date) as first_week
              from days group by 1, 2, 3) s
        cross join generate_series(
            (select min(week_date) from days)::timestamp, (select max(week_date) from days),
            '1 week'
        ) w (week)
        where w.week::date >= s.first_week
    )
    select now.*, past.event_count as previous_event_count
    from weeks now left join weeks past
      on past.source_id = now.source_id and past.category = now.category
     and past.week_date = now.week_date - 7
    ) changes
""".replace("{daily}", DAILY_ACTIVITY)

SOURCE_ACTIVITY = """
    select v.source_id, v.source_name, count(*) as event_count,
           (select count(*) from periods p where p.source_id = v.source_id) as period_count,
           (select count(*) from ({alerts}) a where a.source_id = v.source_id) as alert_count,
           count(distinct (v.t at time zone '{zone}')::date) as active_day_count,
           min(v.t) as first_event_at, max(v.t) as last_event_at,
           (select max(t) from visible) - max(v.t) as silent_duration
    from visible v group by 1, 2
""".replace("{alerts}", ALERTS)

MARTS = {
    "fct_daily_activity": DAILY_ACTIVITY,
    "fct_activity_periods": ACTIVITY_PERIODS,
    "fct_category_activity_periods": CATEGORY_PERIODS,
    "fct_hourly_detections": HOURLY,
    "fct_alerts": ALERTS,
    "dim_sources": SOURCES,
    "dim_event_types": EVENT_TYPES,
}
LOCAL_PERIODS = """
    select source_name, category, event_count, started_at at time zone '{zone}' as started_at_local,
           ended_at at time zone '{zone}' as ended_at_local,
           (array['7 Sunday', '1 Monday', '2 Tuesday', '3 Wednesday', '4 Thursday', '5 Friday',
                  '6 Saturday'])[extract(dow from started_at at time zone '{zone}') + 1]
               as weekday_label
    from periods
"""

LOCAL_HOURS = """
    select source_name, event_type, event_count, hour_started_at at time zone '{zone}' as
           hour_started_at_local
    from ({hourly}) hourly
""".replace("{hourly}", HOURLY)

LOCAL_ALERTS = """
    select rule_name, source_name, event_count, triggered_at at time zone '{zone}' as
           triggered_at_local, started_at at time zone '{zone}' as started_at_local
    from ({alerts}) alerts
""".replace("{alerts}", ALERTS)

SOURCE_HEALTH = """
    select * from (with latest as (
        select source_id, load_id, load_seq, max(t) as t from visible group by 1, 2, 3
    ),
    known as (
        select one.source_id, one.load_id, max(other.t) as until
        from latest one
        left join latest other
          on other.source_id = one.source_id and other.load_seq < one.load_seq
        group by 1, 2
    )
    select s.source_id, s.source_name, s.last_event_at,
           (p.pauses)[(cardinality(p.pauses) + 1) / 2] as usual_pause_duration,
           (p.pauses)[cardinality(p.pauses)] as longest_pause_duration,
           p.pauses[1] < '1000 years' as is_unusually_silent, a.late_event_count,
           a.late_event_count / s.event_count::float8 as late_event_share, a.rejected_row_count,
           a.duplicate_row_count, greatest(a.delay, '0') as longest_delay_duration
    from ({sources}) s
    join (
        select source_id, sum(late_count)::bigint as late_event_count,
               sum(rows_rejected)::bigint as rejected_row_count,
               sum(rows_duplicate)::bigint as duplicate_row_count, max(delay) as delay
        from (
            select v.source_id, v.load_id, v.rows_rejected, v.rows_duplicate,
                   count(*) filter (where v.t < known.until) as late_count,
                   max(known.until - v.t) as delay
            from visible v join known using (source_id, load_id) group by 1, 2, 3, 4
        ) loads
        group by 1
    ) a using (source_id)
    left join (
        select source_id, array_agg(pause order by pause) filter (where pause is not null) as pauses
        from (
            select source_id, lower(active) - lag(upper(active)) over (
                partition by source_id order by active
            ) as pause
            from (
                select p.source_id,
                       unnest(range_agg(tstzrange(p.started_at, p.ended_at, '[]'))) as active
                from periods p join ({sources}) s using (source_id)
                where p.started_at >= s.last_event_at - interval '672 h' group by 1
            ) merged
        ) found
        group by 1
    ) p using (source_id)) health
""".replace("{sources}", SOURCES)

UNUSUAL_HOURS = """
    select * from (with hours as (
        select source_id, source_name, category, count(*) as event_count,
               date_trunc('hour', t at time zone '{zone}') as hour
        from visible where t >= (select max(t) - interval '1536 h' from visible) group by 1, 2, 3, 5
    ),
    cells as (
        select source_id, source_name, category, first_at,
               generate_series(last_hour - interval '7 d', last_hour - interval '1 h', '1 h')
                   as hour
        from (select distinct source_id, source_name, category from hours) k
        join (
            select source_id, date_trunc('hour', min(t) at time zone '{zone}') as first_at
            from visible group by 1
        ) f using (source_id)
        cross join (
            select date_trunc('hour', max(t) at time zone '{zone}') as last_hour from visible
        ) l
    ),
    weeks as (
        select c.source_id, c.category, c.hour,
               array_agg(coalesce(p.event_count, 0) order by p.event_count nulls first) as counts
        from cells c cross join generate_series(1, 8) n
        left join hours p on p.source_id = c.source_id and p.category = c.category
         and p.hour = c.hour - n * interval '7 d'
        where c.hour - n * interval '7 d' > c.first_at group by 1, 2, 3
    )
    select c.source_id, c.source_name, c.category, hour as hour_started_at_local,
           coalesce(h.event_count, 0) as event_count,
           coalesce(cardinality(w.counts), 0) as week_count,
           (w.counts[(cardinality(w.counts) + 1) / 2] + w.counts[cardinality(w.counts) / 2 + 1])
               / 2::double precision as usual_event_count
    from cells c
    left join hours h using (source_id, category, hour)
    left join weeks w using (source_id, category, hour)
    where c.hour >= c.first_at) unusual
"""

REPORTS = {
    "dim_hours": HOURS,
    "rpt_activity_periods": LOCAL_PERIODS,
    "rpt_alerts": LOCAL_ALERTS,
    "rpt_daily_activity": ALL_DAYS,
    "rpt_busy_hours": BUSY_HOURS,
    "rpt_dwell_times": DWELL_TIMES,
    "rpt_hourly_detections": LOCAL_HOURS,
    "rpt_dwell_distribution": DWELL_DISTRIBUTION,
    "rpt_daily_alerts": DAILY_ALERTS,
    "rpt_weekly_changes": WEEKLY_CHANGES,
    "rpt_source_activity": SOURCE_ACTIVITY,
    "rpt_source_health": SOURCE_HEALTH,
    "rpt_unusual_hours": UNUSUAL_HOURS,
}
LIVE_VIEWS = {
    "activity_periods_live": ACTIVITY_PERIODS,
    "category_activity_periods_live": CATEGORY_PERIODS,
    "alerts_live": f"{ALERTS} union all {OPEN_ALERTS}",
}


@dataclass(frozen=True, kw_only=True)
class Oracle:
    """Compares relations of one dbt schema with what the visible events say.

    Attributes:
        shown_in: the schema of the relations, when it is not that of the seeds.
        shown_to: who reads them, when it is not the user of the connection.
        clock: the zone of the session that reads them.
    """

    conn: Connection[TupleRow]
    schema: str = "analytics"
    gap: str = "1 minute"
    zone: str = "UTC"
    events: str = "raw.events"
    shown_in: str | None = None
    shown_to: str | None = None
    clock: str = "UTC"

    def differences(self, relations: dict[str, str]) -> dict[str, list[TupleRow]]:
        """Return, per relation, up to ten rows that are missing or too many; empty when exact."""
        # Prepared statements would not survive that the temporary tables change their columns.
        self.conn.prepare_threshold = None
        # What all queries read is worked out once, and so is what two relations must hold.
        self._keep("visible", f"with {EVENTS} table visible")
        self.conn.execute("create index on visible (category, t)")
        self._keep("periods", f"with {PERIODS} table periods")
        found = {}
        for query in dict.fromkeys(relations.values()):
            # PostgreSQL takes what CTEs give for a row or two.
            self.conn.execute("set enable_nestloop to off")
            self._keep("expected", query)
            self.conn.execute("reset enable_nestloop")
            columns = ", ".join(self.columns("expected"))
            for relation in [name for name in relations if relations[name] == query]:
                if rows := self._differences(relation, columns):
                    found[relation] = rows
        self.conn.execute("drop table visible, periods, expected, actual")
        return found

    def _keep(self, name: str, query: str) -> None:
        """Keep what a query gives in a temporary table."""
        text = query.format(schema=self.schema, gap=self.gap, zone=self.zone, events=self.events)
        self.conn.execute(f"drop table if exists {name}".encode())
        self.conn.execute(f"create temporary table {name} as {text}".encode())
        self.conn.execute(f"analyze {name}".encode())

    def _differences(self, relation: str, columns: str) -> list[TupleRow]:
        """Return up to ten rows of a relation that are missing or too many."""
        # Materialized once: a live view is not cheap.
        self.conn.execute("drop table if exists actual")
        if self.shown_to:
            self.conn.execute(f"set role {self.shown_to}".encode())
        self.conn.execute(f"set timezone to '{self.clock}'".encode())
        self.conn.execute(
            f"create temporary table actual as select {columns} "
            f"from {self.shown_in or self.schema}.{relation}".encode()
        )
        self.conn.execute("set timezone to 'UTC'")
        if self.shown_to:
            self.conn.execute("reset role")
        return self.conn.execute(
            b"""
            (select 'missing' as verdict, * from (table expected except all table actual) m)
            union all
            (select 'too many', * from (table actual except all table expected) m)
            order by 2, 1 limit 10
            """
        ).fetchall()

    def keep_copies(self, relations: Iterable[str]) -> None:
        """Remember the contents of relations, for ``changes_since_copies``."""
        for relation in relations:
            self.conn.execute(
                f"create table public.copy_of_{relation} as table {self.schema}.{relation}".encode()
            )

    def changes_since_copies(self, relations: Iterable[str]) -> dict[str, list[TupleRow]]:
        """Return, per relation, up to ten rows that came or went; empty when none did."""
        found = {}
        for relation in relations:
            now, then = f"{self.schema}.{relation}", f"public.copy_of_{relation}"
            rows = self.conn.execute(
                f"""
                (select 'went' as verdict, * from (table {then} except all table {now}) w)
                union all
                (select 'came', * from (table {now} except all table {then}) c)
                order by 2, 1 limit 10
                """.encode()
            ).fetchall()
            if rows:
                found[relation] = rows
        return found

    def columns(self, relation: str) -> list[str]:
        """Return the names of a temporary relation's columns, in order."""
        rows = self.conn.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
            " and not attisdropped order by attnum",
            [relation],
        ).fetchall()
        return [str(row[0]) for row in rows]
