from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from loader.reading.prefetch import Prefetch

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_items_come_in_order() -> None:
    items = Prefetch(range(1000))
    assert list(items) == list(range(1000))
    items.close()


def test_an_error_comes_in_its_place() -> None:
    def fail() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    items = iter(Prefetch(fail()))
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken"):
        next(items)


def test_no_more_is_made_than_may_wait() -> None:
    made = []

    def make() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number

    items = Prefetch(make(), ahead=2)
    assert next(iter(items)) == 0
    items.close()
    # One was taken, two waited, and one more was in the hand of the thread.
    assert len(made) <= 4


def test_a_hanging_read_does_not_keep_it_open() -> None:
    release = threading.Event()

    def hang() -> Iterator[int]:
        yield 1
        release.wait()

    items = Prefetch(hang())
    next(iter(items))
    items.close()
    release.set()


def test_closing_without_a_start_is_fine() -> None:
    Prefetch([1]).close()
