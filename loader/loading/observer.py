"""Who takes part in loads without being one of their steps: early alerts, offsets of a topic."""

import math

from psycopg import Connection

from loader.loading.encode import EncodedRows


class Observer:
    """Takes part in loads, one after the other; by itself it does nothing."""

    def begin(self, conn: Connection, load_id: int, *, is_deduped: bool) -> None:
        """Begin to observe a load over its connection; of a deduped one not all rows stay."""

    def see(self, rows: EncodedRows) -> None:
        """Look at a batch that is being copied; before the load is published nothing shows."""

    def settle(self) -> None:
        """Write what is to be committed with the load; to raise makes all of it disappear."""

    def published(self, load_id: int) -> None:
        """Hear that a load is visible."""

    def rest(self) -> float:
        """Hear that nothing waits to be loaded; return after how many seconds to say so again."""
        return math.inf
