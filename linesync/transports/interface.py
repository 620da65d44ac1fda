"""The interface of a transport: a named, bidirectional byte pipe that does not know frames.

A transport opens a :class:`Line` for an endpoint, and passes received bytes to a :class:`LineReceiver`. The layers above use
only these two interfaces.
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
    """The properties of an open line."""

    endpoint: str
    """The endpoint as the user wrote it, for error messages."""
    kind: str
    """The kind of the line: ``tcp``, ``unix``, ``stdio``, ``exec`` or ``serial``."""
    peer: str = ""
    """The other end, for display: an address, a device or a command."""
    uid: int | None = None
    """The user id of the process at the other end of a unix socket; None for every other line."""
    baud: int | None = None
    """The rate of the line in bits per second; None if the line has no rate."""
    byte_rate: float | None = None
    """The number of bytes per second that the line can carry (baud divided by the bits of a character); None if the line has
    no rate."""
    rates: tuple[int, ...] = ()
    """The other rates, in bits per second, that :meth:`Line.set_baud` can set; empty if the rate is fixed."""
    shared: bool = False
    """Whether other stations may send or listen (a serial line). Foreign text, echoes and rules of silence then apply."""
    eight_bit: bool = False
    """Whether every byte value certainly passes unchanged (sockets and pipes)."""


class Line(Protocol):
    """One open line. All methods are called from the event loop's thread; none of them blocks or raises."""

    @property
    def info(self) -> LineInfo: ...

    def write(self, data: bytes) -> None:
        """Queue bytes for sending, in order. After the line was lost or closed, this does nothing."""

    def unsent(self) -> int:
        """A lower bound for the number of written bytes that have not left this machine: the bytes in the transport's own
        buffer and in the buffer of the kernel (TIOCOUTQ)."""

    def send_break(self) -> bool:
        """Send a serial BREAK. Return False if the line cannot send it."""

    def set_baud(self, baud: int, done: Callable[[int], None]) -> None:
        """Change the rate after all written bytes have left this machine. The caller must write nothing until ``done`` is
        called.

        :param baud: the new rate in bits per second.
        :param done: called with the rate of the line in bits per second. It is the old rate if the port does not accept the
            new rate. It is not called if the line is lost first.
        """

    def pause_reading(self) -> None:
        """Stop reading until :meth:`resume_reading`. Bytes that were already read may still be delivered. A line with a rate
        may ignore this."""

    def resume_reading(self) -> None:
        """Deliver bytes again, in a later iteration of the event loop. Do nothing if reading is not paused."""

    def close(self) -> None:
        """Send the written bytes, for at most a second, and close the line. ``line_lost(None)`` follows exactly once."""

    def abort(self) -> None:
        """Close the line immediately and drop unsent bytes. ``line_lost(None)`` follows exactly once."""


class LineReceiver(Protocol):
    """The user of a line. The transport calls these methods in the event loop's thread."""

    def line_made(self, line: Line) -> None:
        """Handle a new line. This is called once, before all other calls."""

    def data_received(self, data: bytes | bytearray | memoryview) -> None:
        """Handle received bytes. The transport may use the buffer again after the call, so the receiver must copy the bytes
        that it keeps."""

    def eof_received(self) -> None:
        """Handle the end of the received bytes: the peer closed its half of a socket, or a process ended. ``line_lost``
        follows."""

    def pause_writing(self) -> None:
        """Stop writing, because the transport's own buffer is above its high-water mark."""

    def resume_writing(self) -> None:
        """Continue writing, because the transport's own buffer has drained."""

    def line_lost(self, error: LinesyncError | None) -> None:
        """Handle the end of the line. This is called once, after all other calls.

        :param error: the cause; None if this end closed the line or the peer ended it cleanly.
        """


class ReceiverFactory(Protocol):
    """Makes the receiver of a new line."""

    def __call__(self) -> LineReceiver: ...


class Door(Protocol):
    """The admission control of a listener. It decides for each new connection whether it becomes a line. A client that is
    refused receives some bytes, and its connection is closed."""

    def refusal(self) -> bytes:
        """The bytes to send to the next client before its connection is closed; empty to accept the connection."""

    def exhausted(self, error: OSError) -> bytes:
        """Handle an error of ``accept``. Return the bytes for the clients that are refused now."""


class Listener(Protocol):
    """An endpoint that accepts lines."""

    @property
    def endpoint(self) -> str:
        """The endpoint with the port that the system chose (``tcp://127.0.0.1:41234``)."""

    @property
    def replaced(self) -> bool:
        """Whether this listener has replaced the unix socket of a dead process, which was usually killed."""

    async def aclose(self, *, leave: bool = False) -> None:
        """Stop accepting lines, and remove the path of a unix socket. Open lines stay open.

        :param leave: whether to leave the path of a unix socket.
        """
