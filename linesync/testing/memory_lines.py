"""Lines in memory, on the clock of their event loop: serial lines with faults, and pipes without faults.

A :class:`Switchboard` finds the lines by endpoint. It has the functions ``connect`` and ``listen`` of
:mod:`linesync.transports`. A hub, an agent or a client that uses these two functions needs no real line. When a process dies
(:meth:`MemoryLine.die`), its end of a pipe is closed, and the other end detects this. On a serial line, a dead process is only
silent, and the other end detects nothing.
"""

from __future__ import annotations

import asyncio

from ..errors import BusyError, LinesyncFailed
from ..transports.base_line import BaseLine
from ..transports.interface import Door, Line, LineInfo, LineReceiver, ReceiverFactory
from .cable import Cable, End
from .faults import Faults
from .recorder import Recorder

__all__ = ["MemoryLine", "Pipe", "SerialWire", "Switchboard"]

_GRAIN = (
    0.01  # seconds between deliveries on a serial line; the FIFO of a UART and its driver collect bytes in this time
)


class MemoryLine(BaseLine):
    """One end of a line."""

    dead = False

    def die(self) -> None:
        """Simulate the death of the process that has this end open. Later writes have no effect."""
        self.dead = True
        self.abort()

    def write(self, data: bytes) -> None:
        if not self.dead:
            super().write(data)


class Pipe(MemoryLine):
    """One end of a pipe, which carries bytes without delay."""

    def __init__(self, loop: asyncio.AbstractEventLoop, info: LineInfo, receiver: LineReceiver) -> None:
        super().__init__(loop, info, receiver)
        self.other: Pipe | None = None
        self._inbox = bytearray()
        self._woken = False

    @staticmethod
    def pair(endpoint: str, caller: ReceiverFactory, listener: ReceiverFactory) -> tuple[Pipe, Pipe]:
        """Make a new pipe. Return the caller's end and the listener's end."""
        loop = asyncio.get_running_loop()
        info = LineInfo(endpoint=endpoint, kind="unix", eight_bit=True)
        ends = Pipe(loop, info, caller()), Pipe(loop, info, listener())
        ends[0].other, ends[1].other = ends[1], ends[0]
        for end in ends[::-1]:
            end._made()
        return ends

    def _send(self, data: bytes) -> None:
        if self.other is not None:
            self.other._inbox += data
            self.other._wake()

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._take)

    def _resume_reads(self) -> None:
        self._wake()

    def _take(self) -> None:
        self._woken = False
        if self._reads_paused:
            return
        if self._inbox:
            data = bytes(self._inbox)
            self._inbox.clear()
            self._deliver(data)
        if self.other is None and not self._reads_paused:
            self._eof()

    def _count_unsent(self) -> int:
        return 0

    def _finish(self) -> None:
        other, self.other = self.other, None
        if other is not None:
            other.other = None
            other._wake()
        self._lost()

    _drop = _finish


class SerialWire:
    """A null-modem cable between two serial ports, with the ends ``a`` and ``b``.

    :param byte_rate: bytes per second. The ports report ten times this number as their baud rate.
    :param faults: the faults of both directions.
    :param grain: seconds between two deliveries.
    """

    def __init__(
        self,
        name: str,
        *,
        seed: int = 0,
        byte_rate: float = 11520.0,
        faults: Faults | None = None,
        grain: float = _GRAIN,
    ) -> None:
        self.name = name
        self.lines: dict[End, _SerialEnd] = {}
        self._loop = asyncio.get_running_loop()
        self.cable = Cable(faults, seed=seed, byte_rate=byte_rate, start=self._loop.time())
        self.plugged = True
        self._gone = False
        self._byte_rate = byte_rate
        self._grain = grain
        self._next_delivery: asyncio.TimerHandle | None = None

    def open(self, end: End, endpoint: str, factory: ReceiverFactory) -> Line:
        """Open the port at one end.

        :raises LinesyncFailed: the adapter is unplugged (:meth:`vanish`).
        :raises BusyError: the port is already open.
        """
        if self._gone:
            raise LinesyncFailed(f"{endpoint} does not exist; plug the adapter in")
        if end in self.lines:
            raise BusyError(f"{endpoint} is already open; close it first")
        info = LineInfo(
            endpoint=endpoint, kind="serial", baud=int(self._byte_rate * 10), byte_rate=self._byte_rate, shared=True
        )
        line = _SerialEnd(self._loop, info, factory(), self, end)
        self.lines[end] = line
        line._made()
        self._deliver_arrived()
        return line

    def pull(self) -> None:
        """Unplug the cable. Bytes are lost, and neither end detects it."""
        self.plugged = False
        self.cable.pull(self._loop.time())

    def vanish(self) -> None:
        """Unplug the adapters at both ends. The ports are lost and cannot be opened."""
        self.pull()
        self._gone = True
        for line in list(self.lines.values()):
            line.abort()

    def plug(self) -> None:
        """Plug the cable and both adapters in again."""
        self._gone = False
        self.plugged = True
        self.cable.plug(self._loop.time())

    def drained(self) -> bool:
        """Whether no bytes are in transit to an open port."""
        return not any(self.cable.line_to(end).waiting for end in self.lines)

    def remove_faults(self) -> None:
        """Remove all faults of the line. The bytes in transit are lost."""
        self.cable = Cable(byte_rate=self._byte_rate, start=self._loop.time())
        if not self.plugged:
            self.cable.pull(self._loop.time())

    def feed(self, end: End, data: bytes) -> None:
        self.cable.feed(end, data, self._loop.time())
        self._schedule_delivery(len(data))

    def _schedule_delivery(self, size: int = 0) -> None:
        when = self.cable.next_time()
        if when is None:
            return
        when = max(when, self._loop.time() + max(self._grain, size / self._byte_rate))
        if self._next_delivery is not None:
            if self._next_delivery.when() <= when:
                return
            self._next_delivery.cancel()
        self._next_delivery = self._loop.call_at(when, self._deliver_arrived)

    def _deliver_arrived(self) -> None:
        if self._next_delivery is not None:
            self._next_delivery.cancel()
            self._next_delivery = None
        now = self._loop.time()
        ends: tuple[End, End] = ("a", "b")
        for end in ends:
            data = self.cable.take(end, now)
            line = self.lines.get(end)
            if data and line is not None:  # bytes that arrive while the port is not open are lost
                line._deliver(data)
        if self.lines:
            self._schedule_delivery()


class _SerialEnd(MemoryLine):
    def __init__(
        self, loop: asyncio.AbstractEventLoop, info: LineInfo, receiver: LineReceiver, wire: SerialWire, end: End
    ) -> None:
        super().__init__(loop, info, receiver)
        self._wire = wire
        self._end: End = end

    def _send(self, data: bytes) -> None:
        self._wire.feed(self._end, data)

    def _count_unsent(self) -> int:
        return self._wire.cable.line_from(self._end).waiting

    def send_break(self) -> bool:
        return True

    def _finish(self) -> None:
        if self._wire.lines.get(self._end) is self:
            del self._wire.lines[self._end]
        self._lost()

    _drop = _finish


class _Listening:
    def __init__(self, board: Switchboard, endpoint: str, factory: ReceiverFactory, door: Door | None) -> None:
        self.endpoint = endpoint
        self.factory = factory
        self.door = door
        self.accepted: list[Pipe] = []
        self._board = board

    replaced = False

    async def aclose(self, *, leave: bool = False) -> None:
        self._board.hang_up(self.endpoint)


class Switchboard:
    """The lines and listeners in memory, by endpoint."""

    def __init__(self) -> None:
        self._ports: dict[str, tuple[SerialWire, End]] = {}
        self._listening: dict[str, _Listening] = {}

    def add(self, wire: SerialWire, a: str, b: str) -> None:
        """Give the two ends of a wire the endpoints ``a`` and ``b``."""
        self._ports[a], self._ports[b] = (wire, "a"), (wire, "b")

    async def connect(self, endpoint: str, factory: ReceiverFactory) -> Line:
        """Open a line like :func:`linesync.transports.connect`."""
        if endpoint in self._ports:
            wire, end = self._ports[endpoint]
            return wire.open(end, endpoint, factory)
        listening = self._listening.get(endpoint)
        if listening is None:
            raise LinesyncFailed(f"no process listens on {endpoint}; start a hub or an agent there")
        refusal = listening.door.refusal() if listening.door is not None else b""
        if refusal:
            caller_end, listener_end = Pipe.pair(endpoint, factory, lambda: Recorder("refused"))
            listener_end.write(refusal)
            listener_end.close()
            return caller_end
        caller_end, listener_end = Pipe.pair(endpoint, factory, listening.factory)
        listening.accepted = [*(pipe for pipe in listening.accepted if pipe.other is not None), listener_end]
        return caller_end

    async def listen(
        self,
        endpoint: str,
        factory: ReceiverFactory,
        *,
        mode: int = 0o600,
        group: str | None = None,
        door: Door | None = None,
    ) -> _Listening:
        """Accept lines like :func:`linesync.transports.listen`."""
        if endpoint in self._listening:
            raise BusyError(f"another process already listens on {endpoint}; choose another socket")
        self._listening[endpoint] = _Listening(self, endpoint, factory, door)
        return self._listening[endpoint]

    def hang_up(self, endpoint: str) -> list[Pipe]:
        """Stop listening on an endpoint. Return the accepted lines that are still open."""
        listening = self._listening.pop(endpoint, None)
        return [] if listening is None else [pipe for pipe in listening.accepted if pipe.other is not None]
