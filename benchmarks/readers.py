"""How fast, how large and how exact: the loader's readers beside plain Arrow and DuckDB.

    python benchmarks/readers.py [--rows 5000000]

Then JSON of five shapes, beside DuckDB and msgspec alone, which decodes all of a file at once, so
that it needs the memory, and knows neither bad lines nor times. Every measurement is a process of
its own on one core, so that its peak of memory is its own: rows/s of processor time, MB at the
peak. Then what each makes of a file with traps. DuckDB is
compared when it is installed (``pip install duckdb``); the loader does not need it.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from loader.__main__ import WithoutPandas
from loader.generate import GenerateOptions, write
from loader.reading.inputs import expand, open_reading
from loader.reading.mapping import FORMATS, Mapping

# The folder with files of the same names, of which each reader reads one before the clock starts.
FEW = "few"

# One line each: what is wrong with it, and the line. All times are meant in Europe/Berlin.
TRAPS = {
    "good": b"2024-05-13 17:00:00,car,a",
    "lone \\.": b"\\.",
    "too few fields": b"2024-05-13 17:00:00,car",
    "skipped by the clock": b"2024-03-31 02:30:00,car,a",
    "shown twice by the clock": b"2024-10-27 02:30:00,car,a",
    "infinity": b"infinity,car,a",
    "year 300000": b"300000-01-01 00:00:00,car,a",
    "no such day": b"2024-02-30 00:00:00,car,a",
    "not UTF-8": b"2024-05-13 17:00:00,\xff,a",
    "forgotten quote": b'2024-05-13 17:00:00,"car,a',
    "good too": b"2024-05-13 17:00:01,car,a",
    "good at last": b"2024-05-13 17:00:02,car,a",
}


def with_loader(path: Path) -> int:
    """What the loader reads, fingerprint included."""
    mapping = Mapping()
    (an_input,) = expand([str(path)], mapping)
    with open_reading(an_input, mapping) as reading:
        return sum(batch.events.num_rows for batch in reading)


def with_arrow(path: Path) -> int:
    """The least that makes typed columns; a bad row fails the whole file."""
    names: Any = pa.dictionary(pa.int32(), pa.string())
    types: dict[str, Any] = {"time": pa.timestamp("us", "UTC"), "type": names, "source": names}
    reader: Any
    if path.suffix == ".csv":
        reader = pyarrow.csv.open_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=4 << 20),
            convert_options=pyarrow.csv.ConvertOptions(column_types=types),
        )
    elif path.suffix == ".ndjson":
        texts: Any = pa.schema([(name, pa.string()) for name in types])
        options = pyarrow.json.ParseOptions(explicit_schema=texts)
        table: Any = pyarrow.json.read_json(
            path, read_options=pyarrow.json.ReadOptions(use_threads=False), parse_options=options
        )
        times = table["time"].cast(types["time"])
        kinds = [table[name].dictionary_encode() for name in ("type", "source")]
        return len(times) + 0 * len(kinds)
    else:
        reader = pyarrow.parquet.ParquetFile(path).iter_batches()
    return sum(batch.num_rows for batch in reader)


def with_duckdb(path: Path) -> int:
    """Texts first, then what can be cast: the only way to keep the other rows."""
    connection = importlib.import_module("duckdb").connect()
    connection.execute("set threads = 1")
    connection.execute("set enable_progress_bar = false")
    reading = {
        ".csv": "read_csv(?, header = true, all_varchar = true, store_rejects = true,"
        " auto_detect = false, delim = ',', quote = '\"', escape = '\"',"
        " columns = {'time': 'varchar', 'type': 'varchar', 'source': 'varchar'})",
        ".ndjson": "read_ndjson(?, columns ="
        " {'time': 'varchar', 'type': 'varchar', 'source': 'varchar'}, ignore_errors = true)",
        ".parquet": "read_parquet(?)",
    }[path.suffix]
    found = connection.execute(
        f"select try_cast(time as timestamptz) as time, type, source from {reading}",
        [str(path)],
    )
    names = pa.dictionary(pa.int32(), pa.string())
    count = 0
    for batch in batches_of(found):
        encoded = [batch[name].dictionary_encode().cast(names) for name in ("type", "source")]
        count += len(batch["time"]) + 0 * len(encoded)
    return count


def batches_of(found: Any) -> Iterator[Any]:
    """Stream a result; the name of the method changed between versions."""
    if hasattr(found, "to_arrow_reader"):
        return iter(found.to_arrow_reader(100_000))
    return iter(found.fetch_record_batch(100_000))


# What stands in files of JSON: an event on each line, bad lines among them, an event in a message
# that has more, an array, an array in a document.
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "bad lines": {},
    "nested": {
        "time_column": "after.time",
        "type_column": "after.type",
        "source_column": "after.source",
    },
    "array": {},
    "document": {
        "time_column": "data.events[].time",
        "type_column": "data.events[].type",
        "source_column": "data.events[].source",
    },
}
_FIELDS = ("time", "type", "source")


def write_shape(shape: str, path: Path, rows: int) -> None:
    """Write events as JSON of a shape."""
    begin, between, end = {
        "array": ("[\n", ",\n", "\n]\n"),
        "document": ('{"id": 1, "data": {"events": [\n', ",\n", "\n]}}\n"),
    }.get(shape, ("", "\n", "\n"))
    with path.open("w") as file:
        for number in range(rows):
            hour, rest = divmod(number // 10 % 86_400, 3600)
            event: dict[str, Any] = {
                "time": f"2024-05-13T{hour:02}:{rest // 60:02}:{rest % 60:02}.{number % 10}Z",
                "type": ("car", "bicycle", "pedestrian")[number % 3],
                "source": f"camera_{number % 20}",
            }
            if shape == "nested":
                state = event | {"score": 0.8, "box": [1, 2, 3, 4], "zones": ["yard"], "end": None}
                event = {"type": "new", "before": state, "after": state}
            text = json.dumps(event)
            text = text[:40] if shape == "bad lines" and number % 10 == 9 else text
            file.write((between if number else begin) + text)
        file.write(end)


def shape_of(path: Path) -> str:
    """Return the shape that a file is named for."""
    return path.stem.replace("_", " ")


def shape_with_loader(path: Path) -> int:
    """What the loader reads, fingerprint included."""
    mapping = Mapping(format="ndjson", **SHAPES[shape_of(path)])
    (an_input,) = expand([str(path)], mapping)
    with open_reading(an_input, mapping) as reading:
        return sum(batch.events.num_rows for batch in reading)


def shape_with_duckdb(path: Path) -> int:
    """Three columns of texts, unnested where they lie in an array."""
    connection = importlib.import_module("duckdb").connect()
    connection.execute("set threads = 1")
    connection.execute("set enable_progress_bar = false")
    event = "struct(time varchar, type varchar, source varchar)"
    columns, found = {
        "nested": (f"{{after: '{event}'}}", "after.time as time, after.type, after.source"),
        "document": (
            f"{{data: 'struct(events {event}[])'}}",
            "unnest(data.events, recursive := true)",
        ),
    }.get(shape_of(path), ("{time: 'varchar', type: 'varchar', source: 'varchar'}", "*"))
    reading = f"read_json(?, columns = {columns}, maximum_object_size = 4294967295"
    reading += ", format = 'newline_delimited', ignore_errors = true)"
    if shape_of(path) in ("array", "document"):
        reading = reading.replace("newline_delimited', ignore_errors = true", "auto'")
    count = 0
    query = f"select * from (select {found} from {reading}) where time is not null"
    for batch in batches_of(connection.execute(query, [str(path)])):
        count += len(batch["time"])
    return count


def shape_with_msgspec(path: Path) -> int:
    """The three columns, as lists."""
    event = msgspec.defstruct("Event", [(name, str) for name in _FIELDS])
    shape, data = shape_of(path), path.read_bytes()
    if shape == "array":
        rows = msgspec.json.decode(data, type=list[event])  # type: ignore[valid-type]
    elif shape == "document":
        events = msgspec.defstruct("Data", [("events", list[event])])  # type: ignore[valid-type]
        rows = msgspec.json.decode(data, type=msgspec.defstruct("All", [("data", events)]))
        rows = rows.data.events
    elif shape == "nested":
        message = msgspec.defstruct("Message", [("after", event)])
        rows = [one.after for one in msgspec.json.Decoder(message).decode_lines(data)]  # type: ignore[attr-defined]
    elif shape == "plain":
        rows = msgspec.json.Decoder(event).decode_lines(data)
    else:
        rows = list(_one_by_one(msgspec.json.Decoder(event), data))
    columns = [[getattr(row, name) for row in rows] for name in _FIELDS]
    return len(columns[0])


def _one_by_one(decoder: Any, data: bytes) -> Iterator[Any]:
    for line in data.splitlines():
        try:
            yield decoder.decode(line)
        except msgspec.DecodeError:
            continue


READERS: dict[str, Callable[[Path], int]] = {
    "loader": with_loader,
    "arrow": with_arrow,
    "duckdb": with_duckdb,
    "json: loader": shape_with_loader,
    "json: duckdb": shape_with_duckdb,
    "json: msgspec": shape_with_msgspec,
}


def measure_here(name: str, path: Path) -> None:
    """Measure in this process and print the result as JSON."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    # As the program does.
    sys.meta_path.insert(0, WithoutPandas())
    # Each imports what it needs only now.
    READERS[name](path.parent / FEW / path.name)
    before, started = time.process_time(), time.monotonic()
    rows = READERS[name](path)
    print(
        json.dumps(
            {
                "rows": rows,
                "cpu": time.process_time() - before,
                "wall": time.monotonic() - started,
                "mb": _peak_of_this_process(),
            }
        )
    )


def _peak_of_this_process() -> int:
    """MB; what ``resource`` says begins with the memory of the process that started this one."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return int(status.split("VmHWM:")[1].split()[0]) >> 10


def measure(name: str, path: Path, repeats: int = 3) -> dict[str, float]:
    """Best of some processes."""
    command = [sys.executable, __file__, "--measure", name, str(path)]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(repeats)
    ]
    return min(runs, key=lambda run: float(run["cpu"]))


def show_speed(folder: Path, rows: int, names: list[str]) -> None:
    """Print rows/s and memory of each format and reader."""
    print(f"{'format':10}{'reader':10}{'rows/s of one core':>20}{'peak MB':>10}")
    for output_format in FORMATS:
        path = folder / f"events.{output_format}"
        for path_of_some, count in ((path, rows), (folder / FEW / path.name, 100)):
            with path_of_some.open("wb") as file:
                write(GenerateOptions(events=count, sources=20, days=30), file, output_format)
        for name in names:
            found = measure(name, path)
            if found["rows"] != rows:
                raise SystemExit(f"{name} read {found['rows']} of {rows} rows")
            print(f"{output_format:10}{name:10}{rows / found['cpu']:>20,.0f}{found['mb']:>10.0f}")


def show_shapes(folder: Path, rows: int, has_duckdb: bool) -> None:
    """Print rows/s and memory of each shape of JSON and reader."""
    print(f"\n{'JSON':12}{'reader':10}{'rows/s of one core':>20}{'peak MB':>10}")
    for shape in SHAPES:
        path = folder / f"{shape.replace(' ', '_')}.json"
        write_shape(shape, path, rows)
        write_shape(shape, folder / FEW / path.name, 100)
        for name in ("loader", "duckdb", "msgspec") if has_duckdb else ("loader", "msgspec"):
            found = measure(f"json: {name}", path)
            expected = rows - rows // 10 if shape == "bad lines" else rows
            if found["rows"] != expected:
                raise SystemExit(f"{name} read {found['rows']} of {expected} rows of {shape}")
            print(f"{shape:12}{name:10}{rows / found['cpu']:>20,.0f}{found['mb']:>10.0f}")


def show_traps(folder: Path, has_duckdb: bool) -> None:
    """Print what each reader makes of the traps."""
    path = folder / "traps.csv"
    lines = b"\n".join(TRAPS.values())
    path.write_bytes(b"time,type,source\n" + lines + b"\n")
    mapping = Mapping(timezone="Europe/Berlin")
    (an_input,) = expand([str(path)], mapping)
    with open_reading(an_input, mapping) as reading:
        batches = list(reading)
    print(f"\nloader: {sum(batch.events.num_rows for batch in batches)} events, and rejects:")
    for batch in batches:
        for reject in batch.rejects:
            print(f"  line {reject.line_number}: {reject.reason}")
    print("\narrow:")
    try:
        with_arrow(path)
    except pa.ArrowException as error:
        print(f"  fails as a whole: {error}")
    if has_duckdb:
        print("\nduckdb:")
        show_traps_of_duckdb(path)


def show_traps_of_duckdb(path: Path) -> None:
    """Print the rows that DuckDB lets through and those that it stores as rejects."""
    connection = importlib.import_module("duckdb").connect()
    connection.execute("set timezone = 'Europe/Berlin'")
    try:
        rows = connection.execute(
            "select time, try_cast(time as timestamptz)::varchar, type, source from read_csv(?,"
            " header = true, all_varchar = true, store_rejects = true, quote = '\"',"
            " auto_detect = false, delim = ',', escape = '\"',"
            " columns = {'time': 'varchar', 'type': 'varchar', 'source': 'varchar'})",
            [str(path)],
        ).fetchall()
    except Exception as error:
        print(f"  fails as a whole: {str(error).splitlines()[0]}")
        return
    for row in rows:
        print(f"  row {row}")
    for line, kind, text in connection.execute(
        "select line, error_type, csv_line from reject_errors"
    ).fetchall():
        print(f"  reject: line {line}, {kind}: {text!r}")


def main() -> None:
    """Measure, or be one of the measured processes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--json-only", action="store_true", help="only the shapes of JSON")
    parser.add_argument("--measure", nargs=2, metavar=("READER", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure_here(options.measure[0], Path(options.measure[1]))
        return
    has_duckdb = importlib.util.find_spec("duckdb") is not None
    names = ["loader", "arrow", *(["duckdb"] if has_duckdb else [])]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / FEW).mkdir()
        if not options.json_only:
            show_speed(Path(folder), options.rows, names)
        show_shapes(Path(folder), options.rows // 5, has_duckdb)
        if options.json_only:
            return
        show_traps(Path(folder), has_duckdb)


if __name__ == "__main__":
    main()
