"""Waiting for something that happens elsewhere."""

import os
import time
from collections.abc import Callable

# Far more than anything here needs, on a machine that others use too: a test that hangs ends.
PATIENCE = int(os.environ.get("PATIENCE", "300"))


def wait_until(condition: Callable[[], bool]) -> None:
    """Return as soon as it is so; fail when it never is."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "never true"
        time.sleep(0.02)
