"""The minimal endpoint on virtual time."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from linesync.errors import LinesyncError
from linesync.transports.interface import Line
from tests.system.world import World

__all__ = ["ENDPOINT", "VirtualEndpoint", "load"]

ENDPOINT = Path(__file__).with_name("minimal_endpoint.py")

_TICK = 0.02  # seconds between two ticks of the endpoint


def load() -> ModuleType:
    """Import minimal_endpoint.py from its file, because it is a separate program."""
    spec = importlib.util.spec_from_file_location("minimal_endpoint", ENDPOINT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _Receiver:
    """Gives the bytes of a line to the endpoint."""

    def __init__(self, owner: VirtualEndpoint) -> None:
        self._owner = owner

    def line_made(self, line: Line) -> None:
        self._owner.line = line

    def data_received(self, data: bytes | bytearray | memoryview) -> None:
        self._owner.endpoint.receive(bytes(data))

    def eof_received(self) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def line_lost(self, error: LinesyncError | None) -> None: ...


class VirtualEndpoint:
    """The endpoint at the far end of a new serial line of the world's hub.

    :param name: the host name of the endpoint.
    :param make: makes the class of the endpoint from the module of the minimal endpoint.
    """

    def __init__(
        self, world: World, name: str, make: Callable[[ModuleType], Any] = lambda module: module.Endpoint
    ) -> None:
        self.line: Line | None = None
        self._loop = world.loop
        self.endpoint: Any = make(load())(self._write, name, clock=world.loop.time, random=world.random.randbytes)
        host = world.hosts[name] = world.run(world._wire(name))
        world.run(self._open(host.wire, host.port))
        self._timer: asyncio.TimerHandle = self._loop.call_soon(self._tick)  # type: ignore[assignment]

    async def _open(self, wire: Any, port: str) -> None:
        wire.open("a", port, lambda: _Receiver(self))

    def _write(self, data: bytes) -> None:
        assert self.line is not None
        self.line.write(data)

    def _tick(self) -> None:
        self.endpoint.tick()
        self._timer = self._loop.call_later(_TICK, self._tick)

    def close(self) -> None:
        """Stop the endpoint and close its line."""
        self._timer.cancel()
        if self.line is not None:
            self.line.close()
