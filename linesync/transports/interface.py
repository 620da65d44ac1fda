"""The interface of a transport: a named, bidirectional byte pipe that does not know frames.

A transport turns an endpoint into a :class:`Line` and calls a :class:`LineReceiver` with what arrives. Only the transport
knows how bytes reach the other side; the layers above use these two interfaces.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import LinesyncError
from ..frozen_record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object

__all__ = ["Door", "Line", "LineInfo", "LineReceiver", "Listener", "ReceiverFactory"]


class LineInfo(Record):
    """What is known about an open line."""

    endpoint: str
    """The endpoint as the user wrote it, for error messages."""
    kind: str
    """``tcp``, ``unix``, ``stdio``, ``exec`` or ``serial``."""
    peer: str = ""
    """The other side, for people: an address, a device, a command."""
    uid: int | None = None
    """The user id of the process at the other end of a unix socket; None for every other line."""
    baud: int | None = None
    """Bits per second on the wire; None if the line has no rate."""
    byte_rate: float | None = None
    """Bytes per second that the wire can carry (baud divided by the bits of a character); None if the line has no rate."""
    rates: tuple[int, ...] = ()
    """The other rates, in bits per second, that :meth:`Line.set_baud` can set; empty if the rate is fixed."""
    shared: bool = False
    """True if other stations may send or listen (a serial line): foreign text, echoes and rules of silence apply."""
    eight_bit: bool = False
    """True if every byte value is certain to pass unchanged (sockets and pipes)."""


class Line(Protocol):
    """One open line. All methods are called from the event loop's thread; none of them blocks or raises."""

    @property
    def info(self) -> LineInfo: ...

    def write(self, data: bytes) -> None:
        """Queue bytes for the wire, in order. Does nothing after the line was lost or closed."""

    def unsent(self) -> int:
        """A lower bound for the bytes that were written but have not left this machine: the transport's own buffer plus
        the kernel's (TIOCOUTQ)."""

    def send_break(self) -> bool:
        """Send a serial BREAK; returns False if the line cannot."""

    def set_baud(self, baud: int, done: Callable[[int], None]) -> None:
        """Change the rate after all bytes that were written have left this machine, then call ``done`` with the rate that
        the line has: the old one if the port does not accept the new one. Write nothing until then. ``done`` is not called
        if the line is lost first."""

    def pause_reading(self) -> None:
        """Read no more bytes until :meth:`resume_reading`. Bytes that were already read may still be delivered. A line with
        a rate may ignore this."""

    def resume_reading(self) -> None:
        """Deliver bytes again, in a later iteration of the event loop. Does nothing if reading does not pause."""

    def close(self) -> None:
        """Send what was written, for at most a second, then close; ``line_lost(None)`` follows exactly once."""

    def abort(self) -> None:
        """Close immediately and drop unsent bytes; ``line_lost(None)`` follows exactly once."""


class LineReceiver(Protocol):
    """The upper side of a line. The transport calls these from the event loop's thread."""

    def line_made(self, line: Line) -> None:
        """The line is open. Called once, before all other calls."""

    def data_received(self, data: bytes | bytearray | memoryview) -> None:
        """Bytes arrived. The buffer may be reused after the call: copy what you keep."""

    def eof_received(self) -> None:
        """The peer will send no more (it closed its half of a socket, or a process ended); ``line_lost`` follows."""

    def pause_writing(self) -> None:
        """The transport's own buffer is above its high-water mark."""

    def resume_writing(self) -> None:
        """The transport's own buffer has drained."""

    def line_lost(self, error: LinesyncError | None) -> None:
        """The line is over. Called once, after all other calls. The error is None if we closed the line or the peer ended
        it cleanly."""


class ReceiverFactory(Protocol):
    """Makes the receiver of a new line."""

    def __call__(self) -> LineReceiver: ...


class Door(Protocol):
    """The admission control of a listener. It decides for each new connection whether it becomes a line. If it does not, the
    client receives some bytes, and the connection is closed."""

    def refusal(self) -> bytes:
        """The bytes to send to the next client before its connection is closed; empty to accept the connection."""

    def exhausted(self, error: OSError) -> bytes:
        """No connection could be accepted because of this error. Returns the bytes for the clients that are refused now."""


class Listener(Protocol):
    """An endpoint that accepts lines."""

    @property
    def endpoint(self) -> str:
        """The endpoint, with the port that the system chose (``tcp://127.0.0.1:41234``)."""

    @property
    def replaced(self) -> bool:
        """Whether it has replaced a unix socket that a process had left behind, usually because it was killed."""

    async def aclose(self, *, leave: bool = False) -> None:
        """Stop accepting lines and remove the path of a unix socket, unless it is to be left. Open lines stay open."""
