"""A TCP proxy whose connections can be reset."""

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path

# Closing with a linger time of zero sends a reset and forgets what is not sent yet.
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Passes everything on, from a free port of 127.0.0.1, until closed.

    Attributes:
        target: where to, host and port or a socket; set before the first connection.
    """

    target: tuple[str, int] | Path

    def __init__(self) -> None:
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where to connect."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def reset(self) -> None:
        """Reset all connections; new ones can be made at once."""
        asyncio.run_coroutine_threadsafe(self._reset(), self._loop).result()

    def close(self) -> None:
        """Reset all connections, and take no more."""
        self.reset()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._listener.close()

    def _run(self) -> None:
        self._loop.run_until_complete(asyncio.start_server(self._serve, sock=self._listener))
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(task)

    async def _reset(self) -> None:
        for writer in self._open:
            # One end may be closed already, while the other is being told.
            if not writer.is_closing():
                one = writer.get_extra_info("socket")
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            if isinstance(self.target, Path):
                answers, there = await asyncio.open_unix_connection(self.target)
            else:
                answers, there = await asyncio.open_connection(*self.target)
            self._open |= {writer, there}
            try:
                await asyncio.gather(_pass_on(reader, there), _pass_on(answers, writer))
            finally:
                self._open -= {writer, there}
                there.close()
        writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()
