"""How to load, as opposed to how to read."""

from dataclasses import dataclass, field
from typing import Literal

from loader.settings.checks import check_fields

ShardBy = Literal["source", "type", "none"]
Indexing = Literal["auto", "keep", "rebuild"]

# More of them are rather a wrong column: a database can number 32,767 types, and the names of a
# load are kept in memory.
MAX_NEW_TYPES = 1_000
MAX_SOURCES = 100_000


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How to load, as opposed to how to read (that is ``Mapping``).

    Attributes:
        dedupe: drop events equal in source, time and type to one that is visible.
        workers: connections to copy over, at most.
        shard_by: what decides which worker copies an event.
        max_rejects: more rejected rows than that, and nothing is loaded; None for any number.
        max_new_partitions: rows that would need more new ones are rejected; None for a number
            that suits their size.
        max_new_types: rows of further types that are new are rejected.
        max_sources: rows of further sources are rejected.
        leaves_out_old: leave out events that are older than what the database retains, instead
            of rejecting them.
        indexing: without effect since events are stored in chunks, see docs/decisions/0033.
        dry_run: read and check everything, write nothing.
    """

    dedupe: bool = False
    workers: int = field(default=2, metadata={"least": 1, "most": 32})
    shard_by: ShardBy = "source"
    max_rejects: int | None = field(default=None, metadata={"least": 0})
    max_new_partitions: int | None = field(default=None, metadata={"least": 0})
    max_new_types: int = field(default=MAX_NEW_TYPES, metadata={"least": 0})
    max_sources: int = field(default=MAX_SOURCES, metadata={"least": 1})
    leaves_out_old: bool = False
    indexing: Indexing = "auto"
    dry_run: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        check_fields(self)
