"""What commands print: tables for people, JSON for programs."""

import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

from rich import filesize

from loader.database.activity import Alert, Period, iso_utc
from loader.database.changes import Change, Stretch
from loader.database.ledger import LedgerRow
from loader.database.maintain import Maintenance
from loader.database.rejects import RejectedRow
from loader.database.status import LedgerStatus, Models
from loader.delivery.delivery import Outcome, as_dict
from loader.loading.result import LoadResult
from loader.process.terminal import echo, printable
from loader.reading.batch import doubts

_NO_EDGE = 10_000


@dataclass(frozen=True, kw_only=True)
class Output:
    """How a command prints: its result as JSON, the rest on stderr then; and no rest if quiet."""

    json: bool
    quiet: bool


def as_json(value: Any) -> str:
    """Return JSON of whatever has dataclasses and times in it; these in ISO 8601, UTC.

    It means the same, and is only text, on every terminal.
    """
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    text = json.dumps(value, default=_plain, ensure_ascii=encoding != "utf8")
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in text)


def describe_load(result: LoadResult, *, dry_run: bool) -> str:
    """Return the line that a load ends with."""
    origin, to = result.origin, ""
    if result.destination is not None:
        origin, to = f"{result.destination}: {origin}", f" --to {result.destination}"
    if result.already_loaded:
        return f"{origin}: already loaded, as load {result.load_id}"
    counts = [f"{result.rows_loaded:,} rows {'usable' if dry_run else 'loaded'}"]
    if result.rows_duplicate:
        counts.append(f"{result.rows_duplicate:,} duplicate")
    if result.rows_rejected:
        counts.append(f"{result.rows_rejected:,} rejected")
    if result.rows_left_out:
        counts.append(f"{result.rows_left_out:,} left out")
    line = f"{origin}: {', '.join(counts)} in {result.seconds:.1f} s"
    if not dry_run:
        line += f", load {result.load_id}"
    if result.first_event_at is not None:
        first, last = _time(result.first_event_at), _time(result.last_event_at)
        line += f", at {first}" if first == last else f", from {first} to {last}"
    if result.first_reject is not None and (dry_run or not result.rows_loaded):
        line += f"; the first is {result.first_reject}"
    if result.rows_rejected == result.rows_read > 0 and Path(result.origin).is_file():
        line += f"; for what is in it: loader inspect {shlex.quote(result.origin)}"
    if dry_run:
        return f"{line} (dry run: nothing was written)"
    if result.rows_rejected:
        line += f"; see: loader rejects --load {result.load_id}{to}"
    return line


def print_load(result: LoadResult, output: Output, *, dry_run: bool = False) -> None:
    """Print the line that a load ends with, and on stderr what is odd about its times."""
    if not output.quiet:
        echo(describe_load(result, dry_run=dry_run), err=output.json)
    if not result.already_loaded:
        times = result.first_event_at, result.last_event_at
        for doubt in doubts(*times, result.rows_loaded, datetime.now(UTC)):
            echo(f"loader: warning: {result.origin}: {doubt}", err=True)


def print_loads(rows: Iterable[LedgerRow]) -> None:
    """Print the ledger."""
    columns = ("load", "origin", "state", "loaded", "rejected", "duplicate", "left out",
               "first event", "last event", "published")  # fmt: skip
    counts = attrgetter("rows_loaded", "rows_rejected", "rows_duplicate", "rows_left_out")
    times = attrgetter("first_event_at", "last_event_at", "published_at")
    print_table(
        columns,
        ((str(row.load_id), row.origin, _state(row), *counts(row), *times(row)) for row in rows),
        right=("load", "loaded", "rejected", "duplicate", "left out"),
    )


def print_rejects(rows: Iterable[RejectedRow]) -> None:
    """Print rejected rows, one line each: there may be many, and they are streamed."""
    for row in rows:
        where = row.origin if row.line_number is None else f"{row.origin} line {row.line_number}"
        if row.message_offset is not None:
            where += f" partition {row.partition_number} offset {row.message_offset}"
        column = f"column {row.column_name}: " if row.column_name else ""
        echo(f"load {row.load_id}: {where}: {column}{row.reason}: {_on_one_line(row)}")


def print_unkept(count: int) -> None:
    """Say on stderr how many more rows were rejected than were kept."""
    if count:
        echo(
            f"{count:,} more rejected rows were counted but not kept; mend the cause in the input,"
            " then: loader withdraw, and load it again",
            err=True,
        )


def print_maintenance(done: Maintenance, *, name: str | None = None) -> None:
    """Print a line for each thing that was done, in the destination of this name."""
    where = "" if name is None else f"{name}: "
    converted = done.converted_events
    # What an earlier run was killed at was converted by that, but for the last step.
    converted_text = None if converted is None else f"{converted:,}" if converted else "the rest"
    lines = [
        (converted_text, "events brought into chunks"),
        (done.removed_loads, "removed what crashed loads had left"),
        (done.created_partitions, "created partitions"),
        (done.purged_loads, f"purged withdrawn loads, {done.purged_rows:,} rows"),
        (
            f"{done.chunks_before:,} into {done.chunks_after:,}" if done.chunks_before else None,
            "short chunks brought together",
        ),
        (done.rebuilt_indexes, "rebuilt bloated indexes"),
        (done.rewritten, "written anew, because most of it was gone"),
        (done.dropped_partitions, "dropped partitions older than what is retained"),
        (done.analyzed, "analyzed"),
    ]
    for what, text in lines:
        if what:
            names = map(str, what) if isinstance(what, list) else [str(what)]
            echo(f"{where}{text}: {', '.join(names)}")
    waits = {"purge": done.purge_waits_for, "drop": done.drop_waits_for}
    for what_waits, cause in waits.items():
        if cause is not None:
            echo(f"{where}the {what_waits} waits for {cause}")
    if not any(waits.values()) and not any(what for what, _ in lines):
        echo(f"{where}nothing was due")


def print_status(ledger: LedgerStatus, models: Models) -> None:
    """Print the status."""
    lines = {
        "loads": f"{ledger.loads:,} visible, {ledger.withdrawals:,} withdrawn, "
        f"{ledger.unpublished:,} unpublished",
        "rows": f"{ledger.rows_read:,} read = {ledger.rows_loaded:,} loaded + "
        f"{ledger.rows_rejected:,} rejected + {ledger.rows_duplicate:,} duplicate + "
        f"{ledger.rows_left_out:,} left out",
        "events": f"{_time(ledger.first_event_at)} to {_time(ledger.last_event_at)}"
        if ledger.first_event_at
        else "none",
        "published": _time(ledger.last_published_at) or "nothing yet",
        "database": filesize.decimal(ledger.database_bytes),
    }
    for name, text in lines.items():
        echo(f"{name + ':':<11}{text}")
    for schema, reason in models.unreadable.items():
        echo(f"models:    those in schema {schema} are not shown: {reason}")
    if not models.found:
        if not models.unreadable:
            echo("models:    none built yet; run: dbt build")
        return
    print_table(
        ("model", "loads behind", "updated"),
        (
            (
                one.model,
                f"{one.loads_behind:,}"
                if one.loads_behind >= 0
                else f"{-one.loads_behind:,} ahead",
                one.updated_at,
            )
            for one in models.found
        ),
        right=("loads behind",),
    )


def print_periods(periods: Sequence[Period]) -> None:
    """Print periods of activity."""
    shown = attrgetter("category", "started_at", "ended_at", "event_count")
    print_table(("category", "from", "to", "events"), map(shown, periods), right=("events",))


def print_alerts(alerts: Sequence[Alert]) -> None:
    """Print alerts."""
    columns = ("triggered", "rule", "source", "category", "events")
    shown = attrgetter("triggered_at", "rule_name", "source_name", "category", "event_count")
    print_table(columns, map(shown, alerts), right=("events",))


def print_changes(changes: Sequence[Change], load_id: int) -> None:
    """Print what a load changed: a line for those of before and after that belong together."""
    if not changes:
        echo(f"load {load_id} changed no period and no alert")
        return
    columns = ("change", "of", "source", "category", "from", "to", "before", "after")
    print_table(columns, map(_change, changes))


def _change(one: Change) -> Sequence[object]:
    both = [*one.before, *one.after]
    what = "periods" if one.rule_name is None else f"alerts {one.rule_name}"
    extent = min(stretch.started_at for stretch in both), max(stretch.ended_at for stretch in both)
    return (
        one.change, what, one.source_name, one.category, *extent,
        _stretches(one.before), _stretches(one.after),
    )  # fmt: skip


def _stretches(stretches: Sequence[Stretch]) -> str:
    events = sum(stretch.event_count for stretch in stretches)
    counted = f"{len(stretches):,} with {events:,} event{'' if events == 1 else 's'}"
    return counted if stretches else ""


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()
) -> None:
    """Print a table, on a terminal as wide as that."""
    # Imported only where a table is printed: a load would wait for it a twentieth of a second.
    from rich import box  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        # Not markup: names come from input, and may hold brackets.
        table.add_row(*(Text(printable(_cell(value))) for value in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        # In a pipe or a file there is no edge to wrap at.
        console.width = _NO_EDGE
    console.print(table)


def _cell(value: object) -> str:
    if value is None or isinstance(value, datetime):
        return _time(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _on_one_line(row: RejectedRow) -> str:
    text = printable(row.raw_text)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _state(row: LedgerRow) -> str:
    if row.load_seq is None:
        return "unpublished"
    if row.kind == "withdrawal":
        return f"withdraws {row.withdraws_load_id}"
    return "visible" if row.withdrawn_seq is None else "withdrawn"


def _time(moment: datetime | None) -> str:
    """Return a time for people; whoever needs its microseconds has --json."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def _plain(value: Any) -> Any:
    if isinstance(value, Outcome):
        return as_dict(value)
    if isinstance(value, datetime):
        return iso_utc(value)
    has_fields = is_dataclass(value) and not isinstance(value, type)
    return asdict(value) if has_fields else str(value)
