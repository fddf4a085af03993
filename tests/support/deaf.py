"""A way to the server that goes silent: nothing is closed, and nothing comes through any more."""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(kw_only=True)
class Deaf:
    """Passes on what is said over TCP until a word is heard.

    Attributes:
        server: the server's socket.
        word: after it, the connection that said it is silent.
        is_for_all: whether all others are too, and new ones.
    """

    server: Path
    word: bytes
    is_for_all: bool
    _is_silent: bool = False
    _must_end: threading.Event = field(default_factory=threading.Event)
    _sockets: list[socket.socket] = field(default_factory=list)

    def dsn(self, database: str) -> str:
        """Start to listen and return how to connect."""
        listener = socket.create_server(("127.0.0.1", 0))
        self._sockets.append(listener)
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()
        port = listener.getsockname()[1]
        return (
            f"host=127.0.0.1 port={port} user=postgres dbname={database} sslmode=disable"
            " gssencmode=disable"
        )

    def close(self) -> None:
        """Close everything."""
        self._must_end.set()
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.socket(socket.AF_UNIX)
                self._sockets += [client, server]
                server.connect(str(self.server))
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, heard: socket.socket, told: socket.socket) -> None:
        with suppress(OSError):
            while data := heard.recv(1 << 16):
                is_word = self.word in data
                self._is_silent |= is_word and self.is_for_all
                if is_word or self._is_silent:
                    # Taken, as a network takes what it then loses.
                    self._must_end.wait()
                    return
                told.sendall(data)
            told.shutdown(socket.SHUT_WR)
