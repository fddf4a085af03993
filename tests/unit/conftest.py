"""Reading made short: bytes in, events and rejects out."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from loader.reading.batch import Reject
from loader.reading.inputs import expand, open_reading
from loader.reading.limits import Limits
from loader.reading.mapping import Mapping


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an input; events as (time, type, source)."""

    events: list[tuple[str, str, str]]
    attributes: list[str]
    rejects: list[Reject]
    rows_read: int
    rows_rejected: int
    fingerprint: str | None
    header: bytes | None

    @property
    def reasons(self) -> list[str]:
        return [reject.reason for reject in self.rejects]

    @property
    def lines(self) -> list[int | None]:
        return [reject.line_number for reject in self.rejects]

    @property
    def raws(self) -> list[bytes]:
        return [reject.raw for reject in self.rejects]


Read = Callable[..., Outcome]


def shown(time: datetime) -> str:
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")


def read_path(path: Path, limits: Limits | None = None, **options: Any) -> Outcome:
    mapping = Mapping(**options)
    (an_input,) = expand([str(path)], mapping)
    with open_reading(an_input, mapping, limits) as reading:
        batches = list(reading)
    rows = [row for batch in batches for row in batch.events.to_pylist()]
    return Outcome(
        events=[(shown(row["event_time"]), row["event_type"], row["source"]) for row in rows],
        attributes=[row["attributes"] for row in rows if "attributes" in row],
        rejects=[reject for batch in batches for reject in batch.rejects],
        rows_read=sum(batch.rows_read for batch in batches),
        rows_rejected=sum(batch.rows_rejected for batch in batches),
        fingerprint=reading.fingerprint,
        header=reading.header,
    )


@pytest.fixture(scope="session")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    folder = tmp_path_factory.mktemp("inputs")

    def read_bytes(
        content: bytes, name: str = "events.csv", limits: Limits | None = None, **options: Any
    ) -> Outcome:
        path = folder / name
        path.write_bytes(content)
        return read_path(path, limits, **options)

    return read_bytes
