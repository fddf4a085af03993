"""A way to the server that ends when a load says COMMIT for the last time."""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from psycopg.conninfo import make_conninfo

PUBLISHING = b"update raw.load_counter"
COMMIT = b"COMMIT\0"

When = Literal["before", "after"]


@dataclass(kw_only=True)
class Cut:
    """Passes on what loader and server say; cuts one connection when it publishes a load.

    Attributes:
        server: the server's socket.
        directory: where to listen.
        when: before the server hears of the COMMIT, or after it has answered it.
        is_final: whether nobody can connect any more afterwards.
    """

    server: Path
    directory: Path
    when: When
    is_final: bool = False
    cuts: int = 0
    _listener: socket.socket = field(default_factory=lambda: socket.socket(socket.AF_UNIX))

    def dsn(self, database: str) -> str:
        """Start to listen and return how to connect."""
        self._listener.bind(str(self.directory / ".s.PGSQL.5432"))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return make_conninfo(
            "", host=str(self.directory), user="postgres", dbname=database,
            sslmode="disable", gssencmode="disable",
        )  # fmt: skip

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self.server))
        is_mute = threading.Event()
        answers = threading.Thread(target=_pass_on, args=[server, client, is_mute], daemon=True)
        answers.start()
        is_publishing = False
        with suppress(OSError):
            while data := client.recv(1 << 16):
                is_publishing |= PUBLISHING in data
                if is_publishing and COMMIT in data:
                    self.cuts += 1
                    is_mute.set()
                    if self.when == "after":
                        server.sendall(data)
                        # With the client's end of the conversation closed, the server finishes
                        # what it was told, then hangs up.
                        server.shutdown(socket.SHUT_WR)
                        answers.join()
                    if self.is_final:
                        self.close()
                    break
                server.sendall(data)
        for end in (server, client):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def _pass_on(server: socket.socket, client: socket.socket, is_mute: threading.Event) -> None:
    with suppress(OSError):
        while data := server.recv(1 << 16):
            if not is_mute.is_set():
                client.sendall(data)
        if not is_mute.is_set():
            client.shutdown(socket.SHUT_RDWR)
