"""Outcomes: who has what, after inputs were brought to several destinations."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeAlias

from loader.errors import DatabaseError, InputError, LoaderError
from loader.loading.load import LoadResult


@dataclass(frozen=True, kw_only=True)
class Missing:
    """An input that a destination does not have.

    Attributes:
        destination: the destination; None for the only database there is.
        origin: the input, as the ledger would call it.
        error: why; of an ``InputError`` the input is to blame.
    """

    destination: str | None
    origin: str
    error: LoaderError

    @property
    def is_unusable(self) -> bool:
        """Whether the input is to blame, so that loading it again makes nothing better."""
        return isinstance(self.error, InputError)

    def __str__(self) -> str:
        """Say who lacks what, and why."""
        text = str(self.error)
        where = "" if self.origin in text else f"{self.origin}: "
        who = "" if self.destination is None else f"{self.destination}: "
        return f"{who}{where}{text}"


Outcome: TypeAlias = LoadResult | Missing


class IncompleteError(DatabaseError):
    """Some destinations do not have everything; the same call again completes what is missing.

    It has the ``results`` of what was loaded, or had been before, and what is ``missing``.
    """

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self.results = [one for one in outcomes if isinstance(one, LoadResult)]
        self.missing = [one for one in outcomes if isinstance(one, Missing)]
        lines = [*map(str, self.missing), *describe_incomplete(outcomes)]
        super().__init__("; ".join(dict.fromkeys(lines)))


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """Return the fields that ``--json`` prints; of what is missing as of a load of nothing."""
    if isinstance(outcome, LoadResult):
        found = asdict(outcome)
    else:
        names = [field.name for field in fields(LoadResult)]
        found = {name: 0 if name.startswith("rows_") else None for name in names}
        found |= {"already_loaded": False, "seconds": 0.0}
        found |= {**vars(outcome), "error": str(outcome.error)}
    # For people; programs ask for all of them.
    del found["first_reject"]
    if outcome.destination is None:
        # As it is where there is one database only.
        del found["destination"]
    return found


def describe_incomplete(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a line for each destination that lacks what it could have had."""
    names = dict.fromkeys(str(one.destination) for one in outcomes)
    lacks = Counter(
        one.destination for one in outcomes if isinstance(one, Missing) and not one.is_unusable
    )
    total = len(outcomes) // max(len(names), 1)
    return [
        f"{name} lacks {lacks[name]} of {total} input{'' if total == 1 else 's'}; the same command "
        "again loads what is missing, and nothing twice"
        for name in names
        if lacks[name]
    ]
