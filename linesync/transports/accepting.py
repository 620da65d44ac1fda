"""Accepts connections, even when the process has no descriptor or memory left.

When ``accept`` fails, asyncio's own loop logs up to a thousand errors for each attempt, and the clients keep waiting. The
loop of this module pauses for a moment after a failure. It also keeps a spare descriptor. When all other descriptors are in
use, it closes the spare descriptor, accepts a connection in its place, sends the reason for the refusal to the client, and
closes the connection.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from .interface import Door

__all__ = ["Acceptor"]

_BATCH = 64  # the maximum number of connections that are accepted before other handlers of the event loop run
_PAUSE = 0.1  # seconds for which no connection is accepted after a failure
_UNREAD = (
    1 << 16
)  # the number of bytes that are read from a refused client, because unread bytes would reset the connection
_NO_CONNECTION = frozenset((errno.EAGAIN, errno.EINTR, errno.ECONNABORTED))


class Acceptor:
    """Accepts connections on listening sockets, which it owns.

    :param begin: makes the coroutine that begins to use a new connection; called before the next connection is accepted. If
        the coroutine fails, the connection is closed.
    :param door: decides which connections are accepted.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        begin: Callable[[socket.socket], Coroutine[Any, Any, object]],
        door: Door | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = list(sockets)
        self._begin = begin
        self._door = door
        self._paused: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._spare: int | None = None
        self._take_spare()
        self._resume()

    def _take_spare(self) -> None:
        """Open the spare descriptor, unless it is already open."""
        if self._spare is None:
            with suppress(OSError):
                self._spare = os.dup(self._sockets[0].fileno())

    def _give_spare(self) -> bool:
        """Close the spare descriptor, so that another descriptor can be opened. Return whether there was a spare."""
        spare, self._spare = self._spare, None
        if spare is not None:
            os.close(spare)
        return spare is not None

    def _resume(self) -> None:
        self._paused = None
        self._take_spare()
        for sock in self._sockets:
            self._loop.add_reader(sock, self._accept, sock)

    def _pause(self) -> None:
        self._stop_accepting()
        if self._paused is None:
            self._paused = self._loop.call_later(_PAUSE, self._resume)

    def _stop_accepting(self) -> None:
        for sock in self._sockets:
            self._loop.remove_reader(sock)

    def pause(self) -> None:
        """Accept no connections until :meth:`resume`. Further clients wait in the queue of the kernel."""
        self._stop_accepting()
        if self._paused is not None:
            self._paused.cancel()
            self._paused = None

    def resume(self) -> None:
        """Accept connections again."""
        if self._sockets:
            self._resume()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                connection, _ = listening.accept()
            except OSError as error:
                if error.errno not in _NO_CONNECTION:
                    self._failed(listening, error)
                return
            refusal = self._door.refusal() if self._door is not None else b""
            if refusal:
                _refuse(connection, refusal)
                continue
            connection.setblocking(False)
            task = self._loop.create_task(self._run(self._begin(connection), connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, work: Coroutine[Any, Any, object], connection: socket.socket) -> None:
        try:
            await work
        except BaseException as error:
            connection.close()
            if not isinstance(error, OSError):
                raise
            if self._door is not None:
                self._door.exhausted(error)

    def _failed(self, listening: socket.socket, error: OSError) -> None:
        """Handle a failure of ``accept``: refuse the waiting connections as far as possible, and pause."""
        refusal = self._door.exhausted(error) if self._door is not None else b""
        if error.errno in (errno.EMFILE, errno.ENFILE) and self._give_spare():
            with suppress(OSError):
                for _ in range(_BATCH):
                    _refuse(listening.accept()[0], refusal)
        self._pause()

    async def aclose(self) -> None:
        """Stop accepting. Accepted connections stay open."""
        if self._paused is not None:
            self._paused.cancel()
        self._give_spare()
        sockets, self._sockets = self._sockets, []
        for sock in sockets:
            self._loop.remove_reader(sock)
            sock.close()
        if self._tasks:
            await asyncio.wait(list(self._tasks))


def _refuse(connection: socket.socket, refusal: bytes) -> None:
    """Send a client the reason for its refusal, and close the connection."""
    with connection, suppress(OSError):
        connection.setblocking(False)
        if refusal:
            connection.send(refusal, socket.MSG_NOSIGNAL)
            connection.shutdown(socket.SHUT_WR)
        connection.recv(_UNREAD)
