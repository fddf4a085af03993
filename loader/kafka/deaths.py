"""What consumers died of: it is loaded in ever smaller parts, and at last a message is set aside.

See docs/decisions/0027.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from loader.kafka.batches import Share
from loader.kafka.offsets import Deaths

# A message at which consumers died so often, with nothing else in their hands, is rejected.
_MOST_ALONE: Final = 4
# From the second death on, batches have a 32nd of the messages that they had before.
_HALVINGS: Final = 5


def refused(deaths: Mapping[int, Deaths]) -> dict[int, int]:
    """Return, by partition, the offset before which messages are rejected unseen."""
    return {partition: one.end for partition, one in deaths.items() if one.alone >= _MOST_ALONE}


def still_deadly(deaths: Mapping[int, Deaths], share: Share) -> dict[int, Deaths]:
    """Return what is still to be loaded of a share."""
    wanted = {partition: share.wanted(partition) for partition in deaths}
    return {
        partition: one
        for partition, one in deaths.items()
        if (wanted[partition] or one.first) < one.end
    }


def rows_at_once(deaths: Mapping[int, Deaths], share: Share, max_rows: int) -> int:
    """Return how many messages may be loaded together, of so many at the most."""
    worst = max((one.count for one in still_deadly(deaths, share).values()), default=0)
    return max(1, max_rows >> _HALVINGS * max(0, worst - 1))


def described(
    deaths: Mapping[int, Deaths], share: Share, topic: str, max_rows: int
) -> Iterator[str]:
    """Name what consumers died of again and again, while it is still to be loaded."""
    for partition, one in sorted(still_deadly(deaths, share).items()):
        if one.count > 1:
            how = f"loading {max_rows:,} at a time"
            if one.alone >= _MOST_ALONE:
                how = "that message is rejected unseen; see: loader rejects"
            yield (
                f"topic {topic} partition {partition}: consumers died {one.count} times while they "
                f"loaded offsets {one.first:,} to {one.end - 1:,}; {how}"
            )
