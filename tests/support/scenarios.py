"""Streams of events that are hard on incremental models, each at a source of its own.

Many scenarios share the same loads, so that one run of dbt checks them all. Times lie on a
lattice of the gap and its neighbours (a microsecond less or more), so that "exactly one gap
apart" happens all the time; scenarios that share a base time meet in the category periods. Gaps are
a minute or a day, and the clocks of some zones change in these nights.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

# Not in the seed, and in another order by code points than in a dictionary.
UNLISTED = ("a dog", "Tram")
TYPES = ("pedestrian", "pedestrian", "bicycle", "car", "truck", *UNLISTED)
# Half a gap, a gap and its neighbours, and pauses.
STEPS = [
    timedelta(microseconds=microseconds)
    for microseconds in (
        0, 1, 30_000_000, 30_000_000, 30_000_000, 59_999_999, 60_000_000, 60_000_001,
        119_999_999, 120_000_000, 600_000_000, 3_600_000_000,
    )
]  # fmt: skip
# Half a day, a day and its neighbours; seldom more, for each month is a partition.
DAY_STEPS = [
    timedelta(microseconds=microseconds)
    for microseconds in (
        0, 1, 60_000_000, 43_200_000_000, 82_800_000_000, 86_399_999_999, 86_400_000_000,
        86_400_000_001, 90_000_000_000, 172_799_999_999,
    )
]  # fmt: skip
BASE = datetime(2024, 3, 30, 22, 0, tzinfo=UTC)


@dataclass(frozen=True, order=True)
class Event:
    """One event as a load brings it."""

    source: str
    time: datetime
    type: str


def scenario(number: int, generator: random.Random, *, is_slow: bool = False) -> list[Event]:
    """Return the events of one scenario, in order of time; of a slow one on the lattice of days."""
    time = BASE + (number // 3) * timedelta(hours=5)
    # Some sources see people only: long runs, long presence.
    types = generator.choice(
        [TYPES, TYPES, ("pedestrian",), ("pedestrian", "car"), ("bicycle", "pedestrian")]
    )
    steps = generator.choice([STEPS, STEPS[2:7], STEPS[:3], STEPS[6:]])
    most = 60
    if is_slow:
        steps, most = generator.choice([DAY_STEPS, DAY_STEPS[3:8], DAY_STEPS[:4]]), 30
    events = []
    for _ in range(generator.randint(1, most)):
        time += generator.choice(steps)
        events.append(Event(f"scenario {number}", time, generator.choice(types)))
    events += generator.choices(events, k=generator.randint(0, 3))
    return events


def weekly_scenario(number: int, generator: random.Random) -> list[Event]:
    """Return the events of ten weeks, most of them in one hour of the week, as usual or not."""
    start = BASE + (number // 3) * timedelta(hours=5)
    events = []
    for week in range(10):
        time = (
            start + week * timedelta(days=7) + generator.choice([0, 0, 0, 1]) * timedelta(hours=1)
        )
        for _ in range(generator.choice([0, 3, 3, 3, 3, 4, 9])):
            time += generator.choice(STEPS[:4])
            events.append(Event(f"scenario {number}", time, generator.choice(TYPES[:4])))
    # Where a source begins and ends counts too.
    for at in generator.sample([-8, -1, 20, 69, 90], k=2):
        events.append(Event(f"scenario {number}", start + timedelta(days=at), "car"))
    return sorted(events)


def late_week() -> tuple[list[Event], list[Event]]:
    """Return two loads: an hour is unusual, until more is known of eight weeks before it.

    Of another source an hour is unusual because nothing comes in it.
    """
    start = datetime(2024, 1, 8, 10, 30, tzinfo=UTC)

    def week(number: int, count: int) -> list[Event]:
        time = start + number * timedelta(days=7)
        return [Event("weekly", time + timedelta(seconds=n), "pedestrian") for n in range(count)]

    around = [Event("weekly", start + timedelta(days=day), "car") for day in (-1, 60)]
    counts = enumerate((3, 3, 3, 3, 3, 3, 9, 9, 8))
    busy = [replace(event, source="busy") for number in range(8) for event in week(number, 9)]
    silent = [*busy, *(replace(event, source="busy") for event in around)]
    return [*around, *silent, *(event for one in counts for event in week(*one))], week(0, 6)


def rounds(
    scenarios: int, generator: random.Random, *, count: int, loads: int
) -> Iterator[list[list[Event]]]:
    """Yield, for each round, its loads: every event of every scenario in one of them.

    A scenario's events come in order, or shuffled, or one load late by several rounds. Every third
    scenario is a slow one, every tenth goes by the week.
    """
    slots: list[list[Event]] = [[] for _ in range(count * loads)]
    for number in range(scenarios):
        if number % 10 == 1:
            events = weekly_scenario(number, generator)
        else:
            events = scenario(number, generator, is_slow=number % 3 == 0)
        match generator.choice(["in order", "shuffled", "few loads"]):
            case "in order":
                cuts = sorted(generator.randrange(len(slots)) for _ in events)
            case "shuffled":
                cuts = [generator.randrange(len(slots)) for _ in events]
            case _:
                chosen = generator.sample(range(len(slots)), k=3)
                cuts = [generator.choice(chosen) for _ in events]
        for cut, event in zip(cuts, sorted(events), strict=True):
            slots[cut].append(event)
    for start in range(0, len(slots), loads):
        batch = slots[start : start + loads]
        for load in batch:
            generator.shuffle(load)
        yield batch
