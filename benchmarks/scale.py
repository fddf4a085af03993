"""What 10^9, 10^10 and 10^12 events take, from what was measured with a million.

    python -m benchmarks.scale        the tables of docs/explanation/scale.md

Everything here grows with the number of events, or with that of a batch: see what stands at each
constant. The page says what does not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

SIZES = {"10^9": 10**9, "10^10": 10**10, "10^12": 10**12}
YEAR_SECONDS = 365 * 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds of the processor per million events; a batch has 2,000 and is told per batch.

    Attributes:
        client: what the loader takes.
        coordinator: what the one server takes, or the coordinator of a cluster.
        nodes: what all nodes of a cluster take together.
    """

    client: float = 0.0
    coordinator: float
    nodes: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What ``benchmarks.cluster`` has found: 2 million events less 0.2, and a batch on top of 2."""

    load: Cost
    scratch: Cost
    batch: Cost


PLAIN = Measured(
    load=Cost(client=0.3, coordinator=0.2),
    scratch=Cost(coordinator=7.0),
    batch=Cost(coordinator=1.0),
)
CLUSTER = Measured(
    load=Cost(client=0.3, coordinator=0.3, nodes=0.6),
    scratch=Cost(coordinator=1.3, nodes=10.3),
    batch=Cost(coordinator=1.2, nodes=1.6),
)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """Kilobytes that nodes send the coordinator, and those that it sends them, for a model.

    Attributes:
        scratch: from scratch, with 0.2 and with 2 million events.
        batch: in a batch of 2,000, on top of 0.2 and of 2 million events.
        more_loads: in one on top of 0.2 million events, with 10,000 loads more in the ledger.
    """

    scratch: tuple[str, str]
    batch: tuple[str, str]
    more_loads: str


SENT = {
    "dim_event_types": Sent(
        scratch=("1 / 1", "2 / 1"), batch=("1 / 1", "1 / 1"), more_loads="1 / 1"
    ),
    "dim_sources": Sent(
        scratch=("16 / 88", "16 / 88"), batch=("10 / 45", "11 / 51"), more_loads="8 / 44"
    ),
    "fct_activity_periods": Sent(
        scratch=("14 / 73", "17 / 75"), batch=("123 / 736", "124 / 737"), more_loads="163 / 871"
    ),
    "fct_alerts": Sent(
        scratch=("525 / 1,597", "5,105 / 14,974"),
        batch=("233 / 586", "246 / 626"),
        more_loads="222 / 568",
    ),
    "fct_category_activity_periods": Sent(
        scratch=("757 / 28", "7,400 / 30"), batch=("120 / 138", "121 / 181"), more_loads="118 / 126"
    ),
    "fct_daily_activity": Sent(
        scratch=("13 / 63", "14 / 64"), batch=("48 / 117", "47 / 116"), more_loads="46 / 113"
    ),
    "fct_hourly_detections": Sent(
        scratch=("14 / 68", "16 / 69"), batch=("61 / 135", "61 / 135"), more_loads="58 / 130"
    ),
    "int_event_runs": Sent(
        scratch=("12 / 53", "14 / 54"), batch=("98 / 195", "105 / 201"), more_loads="128 / 211"
    ),
}
# Per event: chunks with their indexes, and all that dbt stores of them.
CHUNK_BYTES, MODEL_BYTES = 12.5, 65


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a server is taken to have.

    Attributes:
        cores: how many a load, or a run of dbt, keeps busy at once.
        disk_bytes: half of it is kept free, for a table that is built anew beside the old one.
    """

    cores: int = 8
    disk_bytes: int = 4 * 10**12

    @property
    def usable_bytes(self) -> int:
        """The half that may be full."""
        return self.disk_bytes // 2


MACHINE = Machine()
# From scratch within a night, and a batch every five minutes within a minute.
REFRESH_HOURS, BATCH_SECONDS, BATCHES_A_YEAR = 12, 60, YEAR_SECONDS // 300


def disk_bytes(events: int) -> float:
    """Return what events take, with all models."""
    return events * (CHUNK_BYTES + MODEL_BYTES)


def hours(cost: float, events: int, cores: int) -> float:
    """Return the hours in which some cores do what costs so much per million events."""
    return cost * events / 1e6 / cores / 3600


def nodes_needed(events: int) -> int:
    """Return how many nodes hold the events, and build all models in time."""
    for_disk = ceil(disk_bytes(events) / MACHINE.usable_bytes)
    seconds = CLUSTER.scratch.nodes * events / 1e6
    for_refresh = ceil(seconds / (REFRESH_HOURS * 3600) / MACHINE.cores)
    return max(2, for_disk, for_refresh)


def batch_seconds(events: int, measured: Measured, nodes: int) -> float:
    """Return how long one of the batches of a year lasts: by the larger of its two halves."""
    share = events / BATCHES_A_YEAR / 2000
    coordinator = measured.batch.coordinator * share / MACHINE.cores
    return max(coordinator, measured.batch.nodes * share / MACHINE.cores / max(nodes, 1))


def rows() -> Iterator[tuple[str, ...]]:
    """Yield the lines of the table, the first one its head."""
    yield ("", *(f"{name} events" for name in SIZES))
    yield ("disk, all models with it", *(_bytes(disk_bytes(events)) for events in SIZES.values()))
    for name, measured in {"one machine": PLAIN, "a cluster": CLUSTER}.items():
        nodes = [nodes_needed(e) if measured is CLUSTER else 0 for e in SIZES.values()]
        load, scratch = measured.load, measured.scratch
        if measured is CLUSTER:
            yield ("a cluster: nodes", *map(str, nodes))
        for what, cost in {"to load it all": load, "all models from scratch": scratch}.items():
            cells = []
            for events, count in zip(SIZES.values(), nodes, strict=True):
                at_one = hours(cost.client + cost.coordinator, events, MACHINE.cores)
                at_nodes = hours(cost.nodes, events, MACHINE.cores * max(count, 1))
                cells.append(_hours(max(at_one, at_nodes)))
            yield (f"{name}: {what}", *cells)
        if measured is CLUSTER:
            gets = (_bytes(sent_bytes(events)) for events in SIZES.values())
            yield ("a cluster: to the coordinator, from scratch", *gets)
        yield (
            f"{name}: a batch of five minutes",
            *(
                _seconds(batch_seconds(events, measured, count))
                for events, count in zip(SIZES.values(), nodes, strict=True)
            ),
        )


def sent_bytes(events: int) -> float:
    """Return what the coordinator gets from the nodes for all models from scratch."""
    small, large = (
        sum(_kilobytes(sent.scratch[place]) for sent in SENT.values()) for place in (0, 1)
    )
    return (large - small) * 1000 / 1.8e6 * events


def walls() -> Iterator[tuple[str, str]]:
    """Yield where something ends, and the number of events at which it does."""
    per_event = CHUNK_BYTES + MODEL_BYTES
    yield "the disk of one machine", _events(MACHINE.usable_bytes / per_event)
    by_refresh = REFRESH_HOURS * 3600 * MACHINE.cores / PLAIN.scratch.coordinator * 1e6
    yield f"one machine, from scratch in {REFRESH_HOURS} hours", _events(by_refresh)
    per_batch = BATCH_SECONDS * MACHINE.cores * 2000 * BATCHES_A_YEAR
    yield (
        "one machine, a batch in a minute, events a year",
        _events(per_batch / PLAIN.batch.coordinator),
    )
    by_refresh = REFRESH_HOURS * 3600 * MACHINE.cores / CLUSTER.scratch.coordinator * 1e6
    yield f"the coordinator, from scratch in {REFRESH_HOURS} hours", _events(by_refresh)
    yield (
        "the coordinator, a batch in a minute, events a year",
        _events(per_batch / CLUSTER.batch.coordinator),
    )


def measured() -> Iterator[tuple[str, ...]]:
    """Yield the lines of the table of what was measured, the first one its head."""
    yield ("", "one machine", "loader", "coordinator", "nodes")
    for what in ("load", "scratch", "batch"):
        plain, cluster = getattr(PLAIN, what), getattr(CLUSTER, what)
        name = {"load": "load", "scratch": "all models from scratch", "batch": "a batch of 2,000"}
        costs = (plain.coordinator, cluster.client, cluster.coordinator, cluster.nodes)
        yield (name[what], *(f"{cost:.1f}" if cost else "" for cost in costs))


def sent() -> Iterator[tuple[str, ...]]:
    """Yield the lines of the table of what goes over the network, the first one its head."""
    steps = ("from scratch, 0.2 M", "2 M", "a batch, 0.2 M", "2 M", "0.2 M, 10,000 loads more")
    yield ("kilobytes to the coordinator / from it", *steps)
    for model, cells in SENT.items():
        yield (f"`{model}`", *cells.scratch, *cells.batch, cells.more_loads)


def _kilobytes(cell: str) -> float:
    return float(cell.split(" / ", maxsplit=1)[0].replace(",", ""))


def tables() -> list[str]:
    """Return the tables of the page: what was measured, what that makes, and where it ends."""
    walled = [("where it ends", "events"), *walls()]
    found = (measured(), sent(), rows(), walled)
    return ["\n".join(_table(list(lines))) for lines in found]


def _table(lines: list[tuple[str, ...]]) -> Iterator[str]:
    head, *body = lines
    yield _line(head)
    yield "|---" + "|---:" * (len(head) - 1) + "|"
    yield from map(_line, body)


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _bytes(number: float) -> str:
    return f"{number / 1e12:,.1f} TB" if number >= 1e12 else f"{number / 1e9:,.0f} GB"


def _hours(number: float) -> str:
    return f"{number * 60:,.0f} min" if number < 1 else f"{number:,.0f} h"


def _seconds(number: float) -> str:
    return f"{number:,.1f} s" if number < 10 else f"{number:,.0f} s"


def _events(number: float) -> str:
    exponent = len(str(int(number))) - 1
    return f"{number / 10**exponent:.0f} x 10^{exponent}"


if __name__ == "__main__":
    print("\n\n".join(tables()))
