"""Limits that keep memory bounded and nonsense out of the dictionaries."""

from dataclasses import dataclass
from typing import Final

# Of arrays and objects in each other. Arrow takes minutes for ten thousand levels and ends the
# process at twenty thousand; its own bound for Parquet is the same hundred.
DEEPEST: Final = 100


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much of an input is looked at or kept at once.

    Attributes:
        block_bytes: bytes read and parsed at a time.
        block_lines: lines of a block, of which there may be many more when most are empty.
        line_bytes: longest row; a longer one is rejected.
        name_bytes: longest event type or source, in UTF-8.
        rejects_kept: rejected rows of an input that are kept in full; the others are counted.
        raw_bytes: so much is kept of a rejected row that is longer than ``line_bytes``.
    """

    block_bytes: int = 4 << 20
    block_lines: int = 1 << 18
    line_bytes: int = 1 << 20
    name_bytes: int = 200
    rejects_kept: int = 10_000
    raw_bytes: int = 4096
