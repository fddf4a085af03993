import signal
import threading

import pytest

from loader.errors import LoaderError
from loader.kafka import together
from loader.kafka.together import run_together
from loader.signals import StopRequest, stopping_gently


def test_none_waits_for_another_one() -> None:
    meet = threading.Barrier(3, timeout=20)
    done: list[str] = []

    def work(_: StopRequest) -> None:
        meet.wait()
        done.append(threading.current_thread().name)

    run_together(dict.fromkeys(("a", "b", "c"), work))
    assert sorted(done) == ["a", "b", "c"]


def test_what_one_raises_comes_when_all_have_ended() -> None:
    has_failed, ended = threading.Event(), threading.Event()

    def fail(_: StopRequest) -> None:
        has_failed.set()
        raise LoaderError("out of order")

    def go_on(_: StopRequest) -> None:
        assert has_failed.wait(20)
        ended.set()

    with pytest.raises(LoaderError, match="out of order"):
        run_together({"a": fail, "b": go_on})
    assert ended.is_set()


def test_all_are_asked_to_end() -> None:
    must_stop, waiting = StopRequest(), threading.Barrier(3, timeout=20)

    def work(request: StopRequest) -> None:
        waiting.wait()
        assert request.wait(20)

    def stop() -> None:
        waiting.wait()
        must_stop.set()

    stopper = threading.Thread(target=stop)
    stopper.start()
    run_together({"a": work, "b": work}, must_stop)
    stopper.join()


def test_one_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when Ctrl-C comes: the others are told, and end."""
    monkeypatch.setattr(together, "_PATIENCE_SECONDS", 0.2)
    release, told = threading.Event(), threading.Event()
    must_stop = StopRequest()

    class PressedError(Exception):
        """Stands for Ctrl-C."""

    def pressed() -> bool:
        raise PressedError

    monkeypatch.setattr(must_stop, "is_set", pressed)

    def obey(request: StopRequest) -> None:
        if request.wait(20):
            told.set()

    def hang(_: StopRequest) -> None:
        release.wait(20)

    with pytest.raises(PressedError):
        run_together({"a": obey, "b": hang}, must_stop)
    assert told.wait(20)
    release.set()


def test_a_signal_that_does_not_wake_the_main_thread_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when it comes just before that thread falls asleep; here another thread gets it."""
    monkeypatch.setattr(together, "_PATIENCE_SECONDS", 0.1)
    has_ended, must_end = threading.Event(), threading.Event()

    def hang(request: StopRequest) -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        assert request.wait(20)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        must_end.wait(20)
        has_ended.set()

    with stopping_gently() as must_stop, pytest.raises(KeyboardInterrupt):
        run_together({"a": hang}, must_stop)
    assert not has_ended.is_set()
    must_end.set()
