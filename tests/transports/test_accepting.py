"""Accepting and refusing connections when the process has no descriptor or memory left."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from linesync.transports.accepting import _PAUSE, Acceptor

REASON = b"no descriptor is left\n"


class FailingSocket(socket.socket):
    """A listening socket whose ``accept`` fails.

    :ivar error: the errno of the failure; 0 for none. ``accept`` does not fail with EMFILE while the spare descriptor is
        closed.
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


class AcceptorSetup:
    """A listening socket with its acceptor.

    :ivar made: the protocols of the connections that were accepted.
    """

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "s")
        self.listening = FailingSocket(socket.AF_UNIX)
        self.listening.setblocking(False)
        self.listening.bind(self.path)
        self.listening.listen(100)
        self.door = Door()
        self.made: list[asyncio.Protocol] = []
        self.acceptor = self.listening.acceptor = Acceptor([self.listening], self._make, self.door)

    def _make(self, connection: socket.socket) -> Coroutine[Any, Any, object]:
        protocol = asyncio.Protocol()
        self.made.append(protocol)
        return asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, connection)

    def connect_client(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.path)
        client.setblocking(False)
        return client

    async def until_made(self, count: int) -> None:
        async with asyncio.timeout(10.0):
            while len(self.made) < count:
                await asyncio.sleep(0.01)


async def received(client: socket.socket) -> bytes:
    """Return the bytes that a client receives until the end of its connection."""
    data = b""
    async with asyncio.timeout(10.0):
        while piece := await asyncio.get_running_loop().sock_recv(client, 4096):
            data += piece
    client.close()
    return data


def test_clients_are_refused_with_the_reason_while_no_descriptor_is_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        setup = AcceptorSetup(tmp_path)
        setup.listening.error = errno.EMFILE
        clients = [setup.connect_client() for _ in range(80)]
        assert [await received(client) for client in clients] == [REASON] * 80
        assert not setup.made and len(setup.door.errors) < 10 and setup.listening.attempts < 100
        setup.listening.error = 0
        client = setup.connect_client()
        await setup.until_made(1)
        client.close()
        await setup.acceptor.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [errno.ENOMEM, errno.ENOBUFS, errno.ENFILE])
def test_a_client_waits_until_there_is_memory_again(tmp_path: Path, error: int) -> None:
    async def scenario() -> None:
        setup = AcceptorSetup(tmp_path)
        if error == errno.ENFILE:
            setup.acceptor._give_spare()
            setup.acceptor._take_spare = lambda: None  # type: ignore[method-assign]
        setup.listening.error = error
        client = setup.connect_client()
        await asyncio.sleep(5 * _PAUSE)
        assert 1 <= setup.listening.attempts <= 6, "there must be a pause between two attempts"
        setup.listening.error = 0
        await setup.until_made(1)
        assert not setup.door.closed and len(setup.door.errors) == setup.listening.attempts - 2
        client.close()
        await setup.acceptor.aclose()

    asyncio.run(scenario())


def test_a_client_that_the_door_refuses_gets_the_reason_and_no_line(tmp_path: Path) -> None:
    async def scenario() -> None:
        setup = AcceptorSetup(tmp_path)
        setup.door.closed = True
        client = setup.connect_client()
        client.send(b"hello")
        assert await received(client) == REASON and not setup.made and not setup.door.errors
        await setup.acceptor.aclose()

    asyncio.run(scenario())
