import os
import signal
import threading
import time

import pytest

from loader.process.signals import handling, stopping_gently
from tests.support.waits import PATIENCE


def test_a_signal_is_handled_as_asked_and_only_then() -> None:
    came: list[str] = []
    with handling(lambda _: came.append("outer"), signal.SIGUSR1):
        with handling(lambda _: came.append("inner"), signal.SIGUSR1, signal.SIGUSR2):
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGUSR1)
    assert came == ["inner", "inner", "outer"]


def test_in_another_thread_nothing_changes() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    during: list[object] = []

    def ask() -> None:
        with handling(lambda _: None, signal.SIGUSR1):
            during.append(signal.getsignal(signal.SIGUSR1))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert during == [before]


def test_a_signal_ends_the_wait_and_the_second_one_everything() -> None:
    with stopping_gently() as request:
        assert not request.wait(0.01)
        threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGTERM]).start()
        started = time.monotonic()
        assert request.wait(PATIENCE)
        assert request.wait(PATIENCE)
        assert time.monotonic() - started < 30
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
