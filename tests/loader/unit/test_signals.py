import os
import signal
import threading

from loader.signals import handling


def test_a_signal_is_handled_as_asked_and_only_then() -> None:
    came: list[str] = []
    with handling(lambda: came.append("outer"), signal.SIGUSR1):
        with handling(lambda: came.append("inner"), signal.SIGUSR1, signal.SIGUSR2):
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGUSR1)
    assert came == ["inner", "inner", "outer"]


def test_in_another_thread_nothing_changes() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    during: list[object] = []

    def ask() -> None:
        with handling(lambda: None, signal.SIGUSR1):
            during.append(signal.getsignal(signal.SIGUSR1))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert during == [before]
