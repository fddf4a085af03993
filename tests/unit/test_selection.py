"""What is left out of an input, compared with a plain loop over the same rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.delivery.destinations import Destination
from loader.errors import UsageError
from loader.reading.bounds import Bounds
from loader.reading.inputs import expand, open_reading
from loader.reading.mapping import Mapping
from loader.reading.partition_days import PartitionDays
from loader.reading.selection import Selection
from loader.settings import read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.conftest import Read

START = datetime(2024, 5, 13, 15, tzinfo=UTC)
TYPES = ("car", "truck", "pedestrian", "")
SOURCES = ("gate", "door", " gate ", "x" * 300)


def csv(rows: list[tuple[int | None, str, str]]) -> bytes:
    lines = [
        f"{'never' if second is None else (START + timedelta(seconds=second)).isoformat()}"
        f",{event_type},{source}\n"
        for second, event_type, source in rows
    ]
    return ("time,type,source\n" + "".join(lines)).encode()


def is_wanted(selection: Selection, row: tuple[int | None, str, str]) -> bool:
    """Judge one row by what can be read of it."""
    second, event_type, source = row
    if selection.types is not None and event_type and event_type not in selection.types:
        return False
    known = len(source) <= 200
    if selection.sources is not None and known and source.strip() not in selection.sources:
        return False
    if second is None:
        return True
    moment = START + timedelta(seconds=second)
    return (selection.since is None or moment >= selection.since) and (
        selection.until is None or moment < selection.until
    )


def is_good(row: tuple[int | None, str, str]) -> bool:
    return row[0] is not None and bool(row[1]) and len(row[2]) <= 200


moments = st.none() | st.integers(-2, 12).map(lambda second: START + timedelta(seconds=second))


@given(
    st.lists(
        st.tuples(st.none() | st.integers(0, 9), st.sampled_from(TYPES), st.sampled_from(SOURCES)),
        min_size=1,
        max_size=30,
    ),
    st.none() | st.lists(st.sampled_from(TYPES[:3]), min_size=1).map(tuple),
    st.none() | st.lists(st.sampled_from(("gate", "door", "roof")), min_size=1).map(tuple),
    moments,
    moments,
)
def test_rows_are_left_out_as_a_loop_would(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int | None, str, str]],
    types: tuple[str, ...] | None,
    sources: tuple[str, ...] | None,
    since: datetime | None,
    until: datetime | None,
) -> None:
    if since is not None and until is not None and since >= until:
        until = None
    selection = Selection(types=types, sources=sources, since=since, until=until)
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    path.write_bytes(csv(rows))
    mapping = Mapping(selection=selection)
    with open_reading(expand([str(path)], mapping)[0], mapping) as reading:
        batches = list(reading)
    wanted = [(line, row) for line, row in enumerate(rows, 2) if is_wanted(selection, row)]
    events = [row for batch in batches for row in batch.events.to_pylist()]
    assert [
        (int((row["event_time"] - START).total_seconds()), row["event_type"], row["source"])
        for row in events
    ] == [(row[0], row[1], row[2].strip()) for _, row in wanted if is_good(row)]
    rejected = [line for line, row in wanted if not is_good(row)]
    assert [reject.line_number for batch in batches for reject in batch.rejects] == rejected
    assert sum(batch.rows_read for batch in batches) == len(rows)
    assert sum(batch.rows_left_out for batch in batches) == len(rows) - len(wanted)
    # A name that only rows have that were left out does not get into the database.
    if len(wanted) < len(rows):
        for batch in batches:
            for name in ("source", "event_type"):
                column: Any = batch.events.column(name)
                assert set(column.dictionary.to_pylist()) == set(column.to_pylist())


def test_every_format_leaves_out(read: Read) -> None:
    selection = Selection(types=("car",))
    lines = b"".join(
        b'{"time": "2024-05-13T15:00:0%dZ", "type": "%s", "source": "gate"}\n' % (second, name)
        for second, name in enumerate((b"car", b"van", b"car"))
    )
    found = read(b"nothing\n" + lines, format="ndjson", selection=selection)
    assert (len(found.events), found.rows_read, found.lines) == (2, 4, [1])


def test_types_are_those_that_are_loaded(read: Read) -> None:
    rows: list[tuple[int | None, str, str]] = [(0, "Pkw", "gate"), (1, "car", "gate")]
    mapped = {"type_map": {"Pkw": "car"}, "selection": Selection(types=("car",))}
    assert len(read(csv(rows), **mapped).events) == 2


def test_a_selection_is_part_of_what_content_means() -> None:
    plain = Mapping().meaning("csv")
    assert Mapping(selection=Selection()).meaning("csv") == plain
    one = Mapping(selection=Selection(types=("car", "bus"))).meaning("csv")
    assert one != plain
    assert Mapping(selection=Selection(types=("bus", "car", "bus"))).meaning("csv") == one
    berlin = START.astimezone(timezone(timedelta(hours=2)))
    assert Mapping(selection=Selection(since=START)).meaning("csv") == Mapping(
        selection=Selection(since=berlin)
    ).meaning("csv")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"types": ()}, "none are wanted"),
        ({"since": START, "until": START}, "since is not before until"),
        ({"since": START.replace(tzinfo=None)}, "has no offset"),
        ({"where": ("score",)}, 'where "score" is not COLUMN>=VALUE'),
        ({"where": (">=1",)}, "is not COLUMN>=VALUE"),
        ({"where": "score>=1"}, "one text where several are meant"),
    ],
)
def test_what_wants_nothing_is_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Selection(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("leaves_out_old", [False, True])
def test_old_rows_are_rejected_or_left_out(tmp_path: Path, leaves_out_old: bool) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(csv([(0, "car", "gate"), (5, "car", "gate"), (6, "", "gate")]))
    mapping = Mapping()
    old = START + timedelta(seconds=3)
    with open_reading(expand([str(path)], mapping)[0], mapping) as reading:
        reading.bounds = Bounds(PartitionDays(), 10, old, leaves_out_old=leaves_out_old)
        (batch,) = reading
    assert (batch.events.num_rows, batch.rows_rejected) == (1, 1 if leaves_out_old else 2)


@pytest.mark.parametrize(
    ("where", "seconds"),
    [
        (("score>=0.5",), [1, 2]),
        (("score >= .5", "score<1e0"), [1]),
        (("score!=0.5",), [0, 2, 3, 4]),
        (("score=0.50",), [1]),
        (("score<0.5",), [0]),
        (("score=n/a",), [3]),
        (("score>=n",), [3]),
        (("score=",), [4]),
        (("state=on", "source != door"), [0, 2, 4]),
    ],
)
@pytest.mark.parametrize("format_", ["csv", "ndjson", "parquet"])
def test_conditions_compare_numbers_as_numbers(
    read: Read, where: tuple[str, ...], seconds: list[int], format_: str
) -> None:
    rows = [
        {"time": f"2024-05-13T15:00:0{at}Z", "type": "car", "score": score, "state": state,
         "source": "door" if at == 3 else "gate"}
        for at, (score, state) in enumerate(
            [("0.49", "on"), ("0.5", " off "), ("10", "on"), ("n/a", "on"), ("", "on")])
    ]  # fmt: skip
    if format_ == "csv":
        lines = [list(rows[0]), *(list(row.values()) for row in rows)]
        content = "\n".join(map(",".join, lines)).encode()
    elif format_ == "ndjson":
        content = "\n".join(map(json.dumps, rows)).encode()
    else:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows), sink)
        content = sink.getvalue().to_pybytes()
    found = read(content, f"rows.{format_}", selection=Selection(where=where))
    assert [int(time[-1]) for time, _, _ in found.events] == seconds
    assert (found.rows_read, found.rows_rejected) == (5, 0)


def test_conditions_compare_columns_of_numbers(read: Read) -> None:
    sink = pa.BufferOutputStream()
    columns = {"score": [0.4, None, 0.9], "is_on": [True, True, False], "level": [1, 2, 10]}
    texts = {"time": ["2024-05-13T15:00:00Z"] * 3, "type": ["car"] * 3, "source": ["a", "b", "c"]}
    pq.write_table(pa.table(columns | texts), sink)

    def sources(*where: str) -> list[str]:
        found = read(sink.getvalue().to_pybytes(), "rows.parquet", selection=Selection(where=where))
        return [source for _, _, source in found.events]

    assert (sources("score>0.5"), sources("is_on=true"), sources("level>=2")) == (
        ["c"], ["a", "b"], ["b", "c"],
    )  # fmt: skip


def test_a_destination_takes_a_part_of_what_is_wanted(read: Read) -> None:
    rows: list[tuple[int | None, str, str]] = [
        (at, name, "gate") for at, name in enumerate(("car", "van", "truck"))
    ]
    destination = Destination(
        name="vehicles",
        settings=read_settings(),
        selection=Selection(types=("car", "van"), where=("source=gate",)),
    )
    mapping = destination.mapping(Mapping(selection=Selection(types=("van", "truck"))))
    found = read(csv(rows), selection=mapping.selection)
    assert ([kind for _, kind, _ in found.events], found.rows_read) == (["van"], 3)
    assert mapping.meaning("csv") != destination.mapping(Mapping()).meaning("csv")
    assert mapping.described()["selection"]["within"] == {"types": ["truck", "van"]}


def test_what_is_left_out_opens_no_partition(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    far = int(np.timedelta64(40, "D") / np.timedelta64(1, "s"))
    path.write_bytes(csv([(far, "van", "gate"), (0, "car", "gate"), (far, "car", "gate")]))
    mapping = Mapping(selection=Selection(types=("car",)))
    with open_reading(expand([str(path)], mapping)[0], mapping) as reading:
        reading.bounds = Bounds(PartitionDays(), max_new=1)
        (batch,) = reading
    assert (batch.events.num_rows, [one.line_number for one in batch.rejects]) == (1, [4])
