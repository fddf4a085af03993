"""Rejects are exported, mended and loaded again, whatever the input was."""

import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from loader.database.rejects import store_rejects
from loader.reading.batch import Reject
from tests.conftest import Outcome

Run = Callable[..., Outcome]

MOMENT = "2024-05-13T15:00:00Z"
OBJECT = f'{{"time": "{MOMENT}", "type": "car", "source": "gate", "note": "x"}}\n'


@dataclass(frozen=True, kw_only=True)
class Case:
    """An input of which two rows are rejected.

    Attributes:
        name: of the file.
        content: what is in it.
        mends: what a person replaces in the export.
        options: how it is loaded, both times.
        notes: the attribute of each row in the end.
    """

    name: str
    content: bytes
    mends: tuple[tuple[bytes, bytes], ...]
    options: tuple[str, ...] = ()
    notes: tuple[str, ...] = ("x", "x", "x")


def parquet() -> bytes:
    times = [datetime.fromisoformat(MOMENT), None, None]
    columns = {"time": pa.array(times, pa.timestamp("ms", "UTC")), "type": ["car"] * 3}
    columns |= {"source": ["gate"] * 3, "note": ["x", "ü", '"'], "other": [1, 2, 3]}
    output = io.BytesIO()
    pq.write_table(pa.table(columns), output)
    return output.getvalue()


CASES = {
    "csv with quotes": Case(
        name="a.csv",
        content=(
            f'time,type,source,note\n{MOMENT},car,gate,x\nbad,"car",gate,"a ""b""\n,c"\n'
            f'{MOMENT},"car,gate,x\n'
        ).encode(),
        mends=((b"bad", MOMENT.encode()), (b'"car,', b"car,")),
        notes=('a "b"\n,c', "x", "x"),
    ),
    "csv with another delimiter and line end": Case(
        name="a.csv",
        content=f"When;type;source;note\r\n{MOMENT};car;gate;x\r\nbad;car;gate;x\r\na;b\r\n".encode(),
        mends=((b"bad", MOMENT.encode()), (b"a;b", f"{MOMENT};car;gate;x".encode())),
        options=("--delimiter", ";", "--time-column", "when"),
    ),
    "csv without a header": Case(
        name="a.csv",
        content=b"1715612400\tcar\tgate\tx\nx\tcar\tgate\tx\n\xff\tcar\tgate\tx\n",
        mends=((b"x\tcar", b"1715612400\tcar"), (b"\xff\tcar", b"1715612400\tcar")),
        options=("--delimiter", "\t", "--columns", "time,type,source,note",
                 "--time-format", "epoch_s"),
    ),
    "compressed csv": Case(
        name="a.csv.gz",
        content=gzip.compress(
            f"time,type,source,note\n{MOMENT},car,gate,x\n1,car,gate,x\n2,car,gate,x\n".encode()
        ),
        mends=((b"1,car", f"{MOMENT},car".encode()), (b"2,car", f"{MOMENT},car".encode())),
    ),
    "ndjson": Case(
        name="a.ndjson",
        content=(OBJECT + OBJECT.replace("2024", "x") + OBJECT.replace('"car"', "[]")).encode(),
        mends=((b"x-05", b"2024-05"), (b"[]", b'"car"')),
    ),
    "parquet": Case(
        name="a.parquet",
        content=parquet(),
        mends=((b"null", json.dumps(MOMENT).encode()),),
        notes=('"', "x", "ü"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_rejects_are_mended_and_loaded(
    run_loader: Run, conn: Connection[TupleRow], tmp_path: Path, case: Case
) -> None:
    file = tmp_path / case.name
    file.write_bytes(case.content)
    options = (*case.options, "--attributes", "note")
    assert run_loader("load", file, *options).exit_code == 3
    export = tmp_path / ("mend.ndjson" if "parquet" in case.name else f"mend.{case.name[2:5]}")
    if case.name == "a.ndjson":
        export = export.with_suffix(".ndjson")
    outcome = run_loader("rejects", "--load", "1", "--export", export)
    assert outcome.exit_code == 0, outcome.stderr
    assert run_loader("load", export, *options).exit_code in (3, 4)

    content = export.read_bytes()
    for bad, good in case.mends:
        assert bad in content
        content = content.replace(bad, good)
    export.write_bytes(content)
    outcome = run_loader("load", export, *options)
    assert outcome.exit_code == 0, outcome.stderr
    # Both once more change nothing.
    run_loader("load", file, export, *options)
    found = conn.execute(
        "select event_time, event_type, source_name, attributes ->> 'note'"
        " from raw.events join raw.event_types using (event_type_id)"
        " join raw.sources using (source_id)"
    ).fetchall()
    moment = datetime(2024, 5, 13, 15, tzinfo=UTC)
    assert sorted(found) == sorted((moment, "car", "gate", note) for note in case.notes)


def test_a_message_is_one_line_of_the_export(
    run_loader: Run, conn: Connection[TupleRow], tmp_path: Path
) -> None:
    """Messages of a topic may go over several lines, and those of the export may not."""
    path = tmp_path / "a.ndjson"
    path.write_text(OBJECT)
    assert run_loader("load", path).exit_code == 0
    broken = OBJECT.replace(", ", ",\n").strip().removesuffix("}").encode()
    rejects = [
        Reject(
            line_number=None, column_name=None, reason="broken", raw=broken,
            partition_number=0, message_offset=offset,
        )
        for offset in (7, 8)
    ]  # fmt: skip
    store_rejects(conn, 1, rejects)
    export = tmp_path / "mend.ndjson"
    run_loader("rejects", "--load", "1", "--export", export)
    export.write_bytes(export.read_bytes().replace(b"\n", b"}\n"))
    assert run_loader("load", export).exit_code == 0
    assert conn.execute("select count(*) from raw.events").fetchone() == (3,)
