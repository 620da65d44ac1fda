"""Small servers for tests, in threads of the test's process."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["LINGER", "echo", "everything", "server"]

LINGER = struct.pack("ii", 1, 0)
"""The option with which the end of a socket is a reset."""


@contextmanager
def server(work: Callable[[socket.socket], None], path: Path | None = None) -> Iterator[str]:
    """Accept connections and handle each one in a thread. The block gets the address for ``linesync forward``.

    :param path: the path of a unix socket; None for TCP.
    """
    listening = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    with listening:
        listening.bind(str(path) if path else ("127.0.0.1", 0))
        listening.listen(200)

        def handle(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                work(connection)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=handle, args=listening.accept()[:1], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"unix:{path}" if path else f"127.0.0.1:{listening.getsockname()[1]}"
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)  # ends accept()


def echo(connection: socket.socket) -> None:
    """Send back all bytes until their end, and then end."""
    while data := connection.recv(65536):
        connection.sendall(data)


def everything(connection: socket.socket) -> bytes:
    """All bytes until their end."""
    got = bytearray()
    while data := connection.recv(65536):
        got += data
    return bytes(got)
