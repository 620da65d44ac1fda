"""A channel as a stream that a program can read and write, with any driver."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

from ...errors import BrokenError, ClosedError, EndOfStream
from ...frozen_record import Record
from ...wire.channels.mux import Mux
from ...wire.framing.frames import Lane

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from typing import Protocol

    from ..desk import Desk, Work
else:
    Protocol = object

__all__ = ["INTERRUPTED", "MESSAGE", "Item", "Owner", "Stream"]

INTERRUPTED = "interrupted: "
"""The beginning of the reason of a reset if the session of a relay was interrupted, and may continue."""
MESSAGE = -1
"""The value of :attr:`Item.stream` for a message."""


class Item(Record):
    """A piece of data or a message that arrived on a channel."""

    stream: int
    """The number of the byte stream of the channel, 0 to 3, or MESSAGE."""
    data: bytes

    # This constructor is faster than the constructor of Record, and it runs for each record on the line.
    def __init__(self, stream: int, data: bytes) -> None:
        object.__setattr__(self, "stream", stream)
        object.__setattr__(self, "data", data)


class OwnedStreams(Protocol):
    """The part of the open streams of a conversation that each of them uses."""

    def consumed(self, stream: Stream, data: bytes, /) -> None: ...
    def forget(self, stream: Stream, /) -> None: ...
    def replace(self, old: Stream, new: Stream, /) -> None: ...


class Owner(Protocol):
    """The part of a conversation that its streams use."""

    def kick(self) -> None: ...
    def wake(self, key: Stream, /) -> None: ...
    def now(self) -> float: ...
    def wait(self, key: Stream, /) -> Awaitable[None]: ...
    def timeout(self, seconds: float | None, /) -> AbstractAsyncContextManager[object]: ...
    def mux_of(self, stream: Stream, /) -> Mux: ...
    @property
    def streams(self) -> OwnedStreams: ...
    def start_work(self, key: Stream, job: Callable[[], object], about: str, /, *, spool: bool) -> Work: ...


class Stream:
    """One channel of a session.

    :meth:`receive` returns the items in order. After the last item, it raises EndOfStream (the peer ended the channel) or
    BrokenError (the channel was reset, or its session is over). The reader returns credit as it receives items. If a reader
    stops, the writer at the other end therefore waits, but other channels continue. Writing waits while the channel is full.

    :ivar number: the channel's number in the session.
    :ivar lane: the lane of the channel.
    :ivar words: the request that opened the channel.
    """

    def __init__(self, owner: Owner, number: int, lane: Lane, words: str) -> None:
        self.number = number
        self.lane = lane
        self.words = words
        self.waiter: object = None  # only the driver uses it
        self.on_broken: Callable[[], None] | None = None
        """Called when the channel is reset by the peer, or lost with its session."""
        self.on_message: Callable[[str], bool] | None = None
        """Called with each message when it arrives; returns whether the message was handled, so that it is not received after
        the data before it. Only a resumable stream calls it."""
        self._owner = owner
        self._items: deque[Item] = deque()  # bound: limits.CREDIT_PIPE, limits.UNREAD_MAX
        self.interrupted = False
        """Whether the channel broke because a session on its way was interrupted, and may continue."""
        self._ended = False
        self._broken: str | None = None
        self._full = False
        self._closed = False

    # -- from the conversation ----------------------------------------------------------------------------------------

    def put(self, item: Item) -> None:
        self._items.append(item)

    def put_end(self) -> None:
        self._ended = True

    @property
    def opens(self) -> bool:
        """Whether this end opens another channel to continue the stream."""
        return False

    def suspend(self, reason: str) -> bool:
        """The session is interrupted. Returns whether this stream can continue on another channel."""
        return False

    def put_closed(self, reason: str, *, interrupted: bool = False) -> None:
        if reason:
            self._broken, self.interrupted = reason, interrupted
        else:
            self._ended = True
        self._full = False
        if reason and self.on_broken is not None:
            self.on_broken()

    def wake(self) -> None:
        """Wake the tasks that wait for this stream; they check its state again."""
        self._owner.wake(self)

    def put_writable(self) -> None:
        self._full = False

    # -- for the user -------------------------------------------------------------------------------------------------

    def desk(self, about: str, *, spool: bool = False) -> Desk:
        """A desk for calls of this channel that may block. When the channel ends, the desk does not wait for them any more.

        :param about: the path on which the calls work.
        :param spool: whether this path is a temporary file of linesync.
        """
        from ..desk import Desk  # imported late, because only transfers of files need it

        return Desk(self._owner, self, about, spool=spool)

    @property
    def broken(self) -> str | None:
        """The reason why the channel broke; None if it is open or ended without an error."""
        return self._broken

    @property
    def ended(self) -> bool:
        """Whether the peer has ended its side of the channel, and all items were received. It stays true if the session of the
        channel ends later."""
        return self._ended and not self._items

    @property
    def full(self) -> bool:
        """Whether the channel is full, so that the writer should wait."""
        return self._full

    @property
    def queued(self) -> int:
        """The number of bytes that are queued and have not been sent on the line."""
        return 0 if self._broken is not None else self._owner.mux_of(self).queued(self.number)

    def now(self) -> float:
        """The driver's monotonic clock, in seconds."""
        return self._owner.now()

    def receive_nowait(self) -> Item | None:
        """The next item, or None if no item has arrived yet.

        :raises EndOfStream: the peer has ended the channel, and all items were received.
        :raises BrokenError: the channel broke.
        :raises ClosedError: this end has reset the channel.
        """
        if self._items:
            item = self._items.popleft()
            self._owner.streams.consumed(self, item.data)
            return item
        if self._closed:
            raise ClosedError("this channel was closed by this process; open another one")
        if self._broken is not None:
            raise BrokenError(self._broken)
        if self._ended:
            raise EndOfStream("the peer has ended the channel")
        return None

    async def changed(self) -> None:
        """Wait until something has arrived, the channel has room, or a call of its desk has ended. Spurious returns occur."""
        await self._owner.wait(self)

    async def receive(self) -> Item:
        """Wait for the next item. Raises the errors of :meth:`receive_nowait`."""
        while (item := self.receive_nowait()) is None:
            await self._owner.wait(self)
        return item

    def share_waiters(self, other: Stream) -> None:
        """Let the tasks that wait for another stream of this session wait for this stream, too."""
        if other.waiter is None:
            other.waiter = []
        self.waiter = other.waiter

    async def until_changed(self) -> None:
        """Wait until the next item may have arrived, the channel has room again, or the channel is over."""
        await self._owner.wait(self)

    async def receive_message(self) -> str:
        """Wait for the next item, which must be a message, and return its text.

        Raises the errors of :meth:`receive_nowait`, and BrokenError if the item is not a message.
        """
        item = await self.receive()
        if item.stream != MESSAGE:
            self.reset("expected a message, but received data")
            raise BrokenError(
                "the peer sent data instead of a message; install the same version of linesync on both ends"
            )
        return item.data.decode("utf-8", "replace")

    def send_nowait(self, stream: int, data: bytes) -> bool:
        """Queue bytes on a byte stream of the channel. Returns False if the channel is full now.

        :raises BrokenError: the channel broke.
        :raises ClosedError: this end has reset the channel.
        """
        self._check_open()
        if not self._owner.mux_of(self).send(self.number, stream, data):
            self._full = True
        self._owner.kick()
        return not self._full

    async def send(self, stream: int, data: bytes, meanwhile: Callable[[], None] | None = None) -> None:
        """Queue bytes, then wait until the channel has room for more. See :meth:`drained`."""
        self.send_nowait(stream, data)
        await self.drained(meanwhile)

    def send_message(self, text: str) -> None:
        """Queue a message. Raises the errors of :meth:`send_nowait`."""
        self._check_open()
        if not self._owner.mux_of(self).send_message(self.number, text.encode("utf-8", "replace")):
            self._full = True
        self._owner.kick()

    def send_urgent(self, text: str) -> None:
        """Queue a message. It does not wait behind data for which the other end has no room, if this stream can continue on
        another channel. Raises the errors of :meth:`send_nowait`."""
        self.send_message(text)

    async def drained(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Wait until the channel has room. Raises the errors of :meth:`send_nowait`.

        :param meanwhile: called during the wait, when something may have arrived on the channel.
        """
        while self.full:
            self._check_open()
            if meanwhile is not None:
                meanwhile()
            await self._owner.wait(self)
        self._check_open()

    async def pause(self, seconds: float) -> None:
        """Wait for some time. Raises the errors of :meth:`send_nowait`."""
        try:
            async with self._owner.timeout(seconds):
                while True:
                    self._check_open()
                    await self._owner.wait(self)
        except TimeoutError:
            pass

    def end(self) -> None:
        """End the sending direction. Reading is still possible."""
        if self._broken is None and not self._closed:
            self._owner.mux_of(self).end(self.number)
            self._owner.kick()

    def finish(self) -> None:
        """End the sending direction, after everything that the peer sends has arrived."""
        self.end()

    def confirm(self) -> None:
        """Confirm what the user has received, if this stream can continue on another channel."""

    def reset(self, reason: str) -> None:
        """End both directions of the channel immediately. Tasks that wait for it get a ClosedError."""
        if self._broken is None and not self._closed:
            self._closed = True
            self._items.clear()
            self._owner.mux_of(self).reset(self.number, reason)
            self._owner.streams.forget(self)
            self._owner.kick()
            self.wake()

    def _check_open(self) -> None:
        if self._broken is not None:
            raise BrokenError(self._broken)
        if self._closed:
            raise ClosedError("this channel was closed by this process; open another one")
