"""How to consume a topic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ConsumeOptions:
    """How to consume.

    Attributes:
        every: seconds between two loads.
        max_rows: a load begins earlier when so many messages wait.
        max_bytes: or when their values take so much memory.
        once: load what is there, then stop.
        begin: where a group starts that has not loaded the topic before.
        new_topic: what to do when the topic was made anew under the same name.
        lost: what to do when the broker has deleted messages that were not loaded.
    """

    every: float = 300.0
    max_rows: int = 1_000_000
    max_bytes: int = 256 << 20
    once: bool = False
    begin: Literal["beginning", "end"] = "beginning"
    new_topic: Literal["stop", "restart"] = "stop"
    lost: Literal["stop", "skip"] = "stop"
