import signal
import threading

import pytest

from loader.errors import InputError, LoaderError
from loader.kafka import sessions
from loader.kafka.sessions import Session, run_sessions
from loader.process.signals import StopRequest, stopping_gently
from tests.support.waits import PATIENCE


def run(works: dict[str, Session], must_stop: StopRequest | None = None) -> LoaderError | None:
    said.clear()
    return run_sessions(works, must_stop or StopRequest(), once=True, say=said.append)


said: list[str] = []


def test_none_waits_for_another_one() -> None:
    meet = threading.Barrier(3, timeout=PATIENCE)

    def work(_: StopRequest) -> None:
        meet.wait()

    assert run(dict.fromkeys(("a", "b", "c"), work)) is None


def test_the_worst_that_ended_one_is_returned_when_all_have_ended() -> None:
    has_failed, ended = threading.Event(), threading.Event()

    def fail(_: StopRequest) -> None:
        has_failed.set()
        raise InputError("out of order")

    def fail_less(_: StopRequest) -> None:
        raise ValueError("a fault of ours")

    def go_on(_: StopRequest) -> None:
        assert has_failed.wait(PATIENCE)
        ended.set()

    failure = run({"a": fail_less, "b": fail, "c": go_on})
    assert isinstance(failure, InputError)
    assert sorted(said) == ["a: unexpected ValueError: a fault of ours", "b: out of order"]
    assert ended.is_set()


def test_all_are_asked_to_end() -> None:
    must_stop, waiting = StopRequest(), threading.Barrier(3, timeout=PATIENCE)
    told: list[bool] = []

    def work(request: StopRequest) -> None:
        waiting.wait()
        told.append(request.wait(PATIENCE))

    def stop() -> None:
        waiting.wait()
        must_stop.set()

    stopper = threading.Thread(target=stop)
    stopper.start()
    assert run({"a": work, "b": work}, must_stop) is None
    assert told == [True, True]
    stopper.join()


def test_one_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when Ctrl-C comes twice: the others are told, and end.

    The main thread is not woken, as when a signal comes just before it falls asleep; here another
    thread gets it.
    """
    monkeypatch.setattr(sessions, "_PATIENCE_SECONDS", 0.2)
    told, has_ended, must_end = threading.Event(), threading.Event(), threading.Event()
    both = threading.Barrier(2, timeout=PATIENCE)

    def obey(request: StopRequest) -> None:
        both.wait()
        if request.wait(PATIENCE):
            told.set()

    def hang(request: StopRequest) -> None:
        both.wait()
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        assert request.wait(PATIENCE)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        must_end.wait(PATIENCE)
        has_ended.set()

    with stopping_gently() as must_stop, pytest.raises(KeyboardInterrupt):
        run({"a": hang, "b": obey}, must_stop)
    assert told.wait(PATIENCE)
    assert not has_ended.is_set()
    must_end.set()
