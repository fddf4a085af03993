from __future__ import annotations

import io
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loader.cli import main
from loader.generate import GenerateOptions, generate, write
from tests.conftest import examples

if TYPE_CHECKING:
    from loader.reading.mapping import Format
    from tests.unit.conftest import Read

SOME = GenerateOptions(events=20_000, sources=4, days=2)


def written(options: GenerateOptions, output_format: Format = "csv") -> bytes:
    output = io.BytesIO()
    assert write(options, output, output_format) == options.events
    return output.getvalue()


def table(options: GenerateOptions) -> pa.Table:
    return pa.Table.from_batches(list(generate(options)))


def times(options: GenerateOptions) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.asarray(table(options)["time"].cast(pa.int64()))


@settings(max_examples=examples(40), deadline=None)
@given(
    st.builds(
        GenerateOptions,
        events=st.integers(0, 3000),
        sources=st.integers(1, 150),
        days=st.integers(1, 40),
        late=st.floats(0, 0.9),
        duplicates=st.floats(0, 0.9),
        seed=st.integers(0, 99),
    )
)
@example(GenerateOptions(events=1, duplicates=0.75))
def test_as_many_rows_as_asked_for_within_the_days(options: GenerateOptions) -> None:
    assert len(written(options).splitlines()) == options.events + 1
    if options.events:
        first = datetime(2024, 5, 13, tzinfo=UTC)
        found = times(options)
        last = first + timedelta(days=options.days)
        assert first.timestamp() * 1000 <= found.min()
        assert found.max() < last.timestamp() * 1000


@pytest.mark.parametrize("output_format", ["csv", "ndjson", "parquet"])
def test_what_is_written_can_be_loaded(read: Read, output_format: Format) -> None:
    options = GenerateOptions(events=3000, days=2, late=0.05, duplicates=0.01)
    found = read(written(options, output_format), f"events.{output_format}")
    assert (len(found.events), found.rejects) == (3000, [])
    assert found.events == read(written(options)).events
    kinds = set(table(options)["type"].to_pylist())
    assert kinds == {"pedestrian", "bicycle", "car", "truck", "van"}
    assert {source for _, _, source in found.events} == {"camera-01", "camera-02", "camera-03"}


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert written(SOME) == written(SOME)
    other = GenerateOptions(events=20_000, sources=4, days=2, seed=2)
    assert written(SOME) != written(other)
    assert written(SOME, "parquet") == written(SOME, "parquet")


def test_rows_are_in_order_but_for_the_late_ones() -> None:
    assert (np.diff(times(SOME)) >= 0).all()
    options = GenerateOptions(events=50_000, days=60, late=0.05)
    found = times(options)
    behind = np.maximum.accumulate(found) - found
    assert abs((behind > 0).mean() - 0.05) < 0.005
    days = behind / 86_400_000
    assert 15 < days.max() < 31
    assert np.median(days[behind > 0]) > 5


def test_repeated_rows_are_exact() -> None:
    options = GenerateOptions(events=20_000, days=2, duplicates=0.1)
    rows = written(options).splitlines()[1:]
    repeated = len(rows) - len(set(rows))
    assert abs(repeated - 2000) < 20
    assert len(set(written(SOME).splitlines())) > 19_980


def test_events_come_in_bursts_and_people_sleep_at_night() -> None:
    rows = table(GenerateOptions(events=5000, days=7)).to_pylist()
    one = [row for row in rows if row["source"] == "camera-01"]
    gaps = [(row["time"] - before["time"]).total_seconds() for before, row in pairwise(one)]
    assert np.median(gaps) < 10
    assert sum(gap > 60 for gap in gaps) > 100
    hours = Counter(row["time"].hour for row in rows)
    assert hours[8] > 10 * hours[3]
    are_people = [row["type"] in {"pedestrian", "bicycle"} for row in one]
    assert max(len(list(run)) for is_person, run in groupby(are_people) if is_person) >= 5


def test_parquet_goes_to_a_pipe_too() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    pipe = Pipe()
    write(SOME, pipe, "parquet")
    assert pq.read_table(io.BytesIO(pipe.getvalue())).num_rows == SOME.events


@pytest.mark.parametrize(
    "option",
    [
        "events=-1",
        "sources=0",
        "days=0",
        "late=1",
        "late=-0.1",
        "duplicates=1",
        "seed=-1",
        "format=xml",
    ],
)
def test_unusable_options_are_refused(option: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", f"--{option}"]) == 2
    assert f"--{option.partition('=')[0]}" in capfd.readouterr().err
