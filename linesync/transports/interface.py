"""What a transport is: a named, bidirectional byte pipe that knows nothing of frames.

A transport turns an endpoint into a :class:`Line` and tells a :class:`LineReceiver` what comes out of it. It is the
only place that knows how bytes reach the other side; everything above sees only these two shapes.
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

__all__ = ["Line", "LineInfo", "LineReceiver", "Listener", "ReceiverFactory"]


class LineInfo(Record):
    """What is known of a line once it is open."""

    endpoint: str
    """The endpoint as the user wrote it, for messages."""
    kind: str
    """``tcp``, ``unix``, ``stdio``, ``exec`` or ``serial``."""
    peer: str = ""
    """Where the bytes go, for people: an address, a device, a command."""
    baud: int | None = None
    """Bits a second on the wire, None where the line has no rate of its own."""
    byte_rate: float | None = None
    """Bytes a second that the wire can carry (baud over bits a character), None where there is no such rate."""
    rates: tuple[int, ...] = ()
    """Rates in bits a second that it can be set to while it is open (:meth:`Line.set_baud`); none where it keeps its
    own."""
    shared: bool = False
    """True where others may speak or listen (a serial line): foreign text, echo and silence rules apply."""
    eight_bit: bool = False
    """True where every byte value passes unharmed by construction (sockets and pipes)."""


class Line(Protocol):
    """One open line. All methods are called from the event loop's thread; none of them blocks or raises."""

    @property
    def info(self) -> LineInfo: ...

    def write(self, data: bytes) -> None:
        """Queue bytes for the wire, in order. After the line was lost or closed this does nothing."""

    def unsent(self) -> int:
        """How many bytes were written but have not left this machine, as far as it can be known (the transport's
        own buffer plus the kernel's, TIOCOUTQ); a lower bound."""

    def send_break(self) -> bool:
        """Send a serial BREAK; False where the line has none."""

    def set_baud(self, baud: int, done: Callable[[int], None]) -> None:
        """Give the line another rate as soon as all that was written has left this machine, and call ``done`` with the
        rate that it then has: the old one where the port does not take the new. Nothing is to be written until then.
        A line that is lost first does not call."""

    def close(self) -> None:
        """Send what was written, for at most a second, then close; ``line_lost(None)`` follows exactly once."""

    def abort(self) -> None:
        """Close at once, dropping what was not sent; ``line_lost(None)`` follows exactly once."""


class LineReceiver(Protocol):
    """The upper side of a line. The transport calls these from the event loop's thread."""

    def line_made(self, line: Line) -> None:
        """Called once, first."""

    def data_received(self, data: bytes | bytearray | memoryview) -> None:
        """Bytes arrived. The buffer may be reused after the call: copy what is kept."""

    def eof_received(self) -> None:
        """The peer will send no more (a closed socket half, a finished process); ``line_lost`` follows."""

    def pause_writing(self) -> None:
        """The transport's own buffer is above its high-water mark."""

    def resume_writing(self) -> None:
        """The transport's own buffer has drained."""

    def line_lost(self, error: LinesyncError | None) -> None:
        """Called once, last. None when we closed it or the peer ended it cleanly; else what broke, as a sentence."""


class ReceiverFactory(Protocol):
    """Makes the receiver of a new line."""

    def __call__(self) -> LineReceiver: ...


class Listener(Protocol):
    """An endpoint that accepts lines."""

    @property
    def endpoint(self) -> str:
        """The endpoint with what the system chose filled in (``tcp://127.0.0.1:41234``)."""

    async def aclose(self) -> None:
        """Stop accepting; open lines stay. A unix socket's path is removed."""
