"""Accepting connections when the process has no descriptor or memory left."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from pathlib import Path

import pytest

from linesync.transports.accepting import _PAUSE, Acceptor

REASON = b"no descriptor is left\n"


class Listening(socket.socket):
    """A listening socket whose ``accept`` fails.

    :ivar error: the errno of the failure; 0 for none. EMFILE ends while the spare descriptor is closed.
    """

    error = 0
    attempts = 0
    acceptor: Acceptor | None = None

    def accept(self) -> tuple[socket.socket, object]:
        self.attempts += 1
        spare = self.acceptor is None or self.acceptor._spare is not None
        if self.error and (spare or self.error != errno.EMFILE):
            raise OSError(self.error, os.strerror(self.error))
        return super().accept()


class Door:
    def __init__(self) -> None:
        self.closed = False
        self.errors: list[OSError] = []

    def refusal(self) -> bytes:
        return REASON if self.closed else b""

    def exhausted(self, error: OSError) -> bytes:
        self.errors.append(error)
        return REASON


class Place:
    """A listening socket with its acceptor.

    :ivar made: the protocols of the connections that were accepted.
    """

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "s")
        self.listening = Listening(socket.AF_UNIX)
        self.listening.setblocking(False)
        self.listening.bind(self.path)
        self.listening.listen(100)
        self.door = Door()
        self.made: list[asyncio.Protocol] = []
        self.acceptor = self.listening.acceptor = Acceptor([self.listening], self._make, self.door)

    def _make(self) -> asyncio.Protocol:
        self.made.append(asyncio.Protocol())
        return self.made[-1]

    def call(self) -> socket.socket:
        caller = socket.socket(socket.AF_UNIX)
        caller.connect(self.path)
        caller.setblocking(False)
        return caller

    async def until_made(self, count: int) -> None:
        async with asyncio.timeout(10.0):
            while len(self.made) < count:
                await asyncio.sleep(0.01)


async def received(caller: socket.socket) -> bytes:
    """What a caller receives until the end of its connection."""
    data = b""
    async with asyncio.timeout(10.0):
        while piece := await asyncio.get_running_loop().sock_recv(caller, 4096):
            data += piece
    caller.close()
    return data


def test_newcomers_get_the_reason_while_no_descriptor_is_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Place(tmp_path)
        place.listening.error = errno.EMFILE
        callers = [place.call() for _ in range(80)]
        assert [await received(caller) for caller in callers] == [REASON] * 80
        assert not place.made and len(place.door.errors) < 10 and place.listening.attempts < 100
        place.listening.error = 0
        caller = place.call()
        await place.until_made(1)
        caller.close()
        await place.acceptor.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [errno.ENOMEM, errno.ENOBUFS, errno.ENFILE])
def test_a_newcomer_waits_until_there_is_memory_again(tmp_path: Path, error: int) -> None:
    async def scenario() -> None:
        place = Place(tmp_path)
        if error == errno.ENFILE:
            place.acceptor._give_spare()
            place.acceptor._take_spare = lambda: None  # type: ignore[method-assign]
        place.listening.error = error
        caller = place.call()
        await asyncio.sleep(5 * _PAUSE)
        assert 1 <= place.listening.attempts <= 6, "it pauses between two attempts"
        place.listening.error = 0
        await place.until_made(1)
        assert not place.door.closed and len(place.door.errors) == place.listening.attempts - 2
        caller.close()
        await place.acceptor.aclose()

    asyncio.run(scenario())


def test_a_closed_door_is_answered_without_a_line(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Place(tmp_path)
        place.door.closed = True
        caller = place.call()
        caller.send(b"hello")
        assert await received(caller) == REASON and not place.made and not place.door.errors
        await place.acceptor.aclose()

    asyncio.run(scenario())
