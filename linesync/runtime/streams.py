"""A channel as something to read from and write to, under any driver."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

from ..errors import BrokenError, ClosedError, EndOfStream
from ..frozen_record import Record
from ..wire.channels.mux import Mux
from ..wire.framing.frames import Lane

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from .desk import Desk, Work
else:
    Protocol = object

__all__ = ["MESSAGE", "Item", "Stream"]

MESSAGE = -1


class Item(Record):
    """One thing that came on a channel."""

    stream: int
    """0..3, or MESSAGE."""
    data: bytes

    def __init__(self, stream: int, data: bytes) -> None:  # by hand: there is one for each record
        object.__setattr__(self, "stream", stream)
        object.__setattr__(self, "data", data)


class Owner(Protocol):
    """What a stream needs of the conversation it belongs to."""

    def kick(self) -> None: ...
    def wake(self, key: Stream, /) -> None: ...
    def now(self) -> float: ...
    def wait(self, key: Stream, /) -> Awaitable[None]: ...
    def mux_of(self, stream: Stream, /) -> Mux: ...
    def consumed(self, stream: Stream, data: bytes, /) -> None: ...
    def start_work(self, key: Stream, job: Callable[[], object], about: str, /, *, spool: bool) -> Work: ...


class Stream:
    """One channel of a session.

    Reading: :meth:`receive` gives items in order, then raises EndOfStream (the other side ended it) or BrokenError (it
    was reset, or its session is over). Credit goes back as items are received, so a reader that stops stops the writer
    at the far end and nobody else. Writing waits while the channel is full.

    :ivar words: what the channel was opened for.
    """

    def __init__(self, owner: Owner, number: int, lane: Lane, words: str) -> None:
        self.number = number
        self.lane = lane
        self.words = words
        self.waiter: object = None  # the driver's
        self.on_broken: Callable[[], None] | None = None
        """Called when the channel is over otherwise than by its two ends, as far as that is not our doing."""
        self._owner = owner
        self._items: deque[Item] = deque()
        self._ended = False
        self._broken: str | None = None
        self._full = False
        self._closed = False

    # -- from the conversation ----------------------------------------------------------------------------------------

    def put(self, item: Item) -> None:
        self._items.append(item)

    def put_end(self) -> None:
        self._ended = True

    def put_closed(self, reason: str) -> None:
        if reason:
            self._broken = reason
        else:
            self._ended = True
        self._full = False
        if reason and self.on_broken is not None:
            self.on_broken()

    def nudge(self) -> None:
        """Let whoever waits here look again."""
        self._owner.wake(self)

    def put_writable(self) -> None:
        self._full = False

    # -- for the user -------------------------------------------------------------------------------------------------

    def desk(self, about: str, *, spool: bool = False) -> Desk:
        """Where what the channel is for does what may block; its calls are given up with the channel."""
        from .desk import Desk  # only for channels that carry files

        return Desk(self._owner, self, about, spool=spool)

    @property
    def broken(self) -> str | None:
        """Why the channel is over, None while it is not, or ended cleanly."""
        return self._broken

    @property
    def full(self) -> bool:
        """The writer should wait."""
        return self._full

    @property
    def queued(self) -> int:
        """Bytes that were queued here and are not yet on the line."""
        return 0 if self._broken is not None else self._owner.mux_of(self).queued(self.number)

    def now(self) -> float:
        """The driver's monotonic clock, seconds."""
        return self._owner.now()

    def receive_nowait(self) -> Item | None:
        """The next item, None when none has come yet.

        :raises EndOfStream: nothing more will come.
        :raises BrokenError: the channel is over.
        :raises ClosedError: we closed it.
        """
        if self._items:
            item = self._items.popleft()
            self._owner.consumed(self, item.data)
            return item
        if self._closed:
            raise ClosedError("this channel was closed here; open another one")
        if self._broken is not None:
            raise BrokenError(self._broken)
        if self._ended:
            raise EndOfStream("the other side has sent all of it")
        return None

    async def receive(self) -> Item:
        """The next item; waits for it. Raises as :meth:`receive_nowait`."""
        while (item := self.receive_nowait()) is None:
            await self._owner.wait(self)
        return item

    async def receive_message(self) -> str:
        """The next item, which must be a message, as text. Raises as :meth:`receive_nowait`."""
        item = await self.receive()
        if item.stream != MESSAGE:
            self.reset("data came where a message was due")
            raise BrokenError("the other side sent data where a message was due; update linesync on one of them")
        return item.data.decode("utf-8", "replace")

    def send_nowait(self, stream: int, data: bytes) -> bool:
        """Queue bytes; False when the channel is now full.

        :raises BrokenError: the channel is over.
        :raises ClosedError: we closed it.
        """
        self._check_open()
        if not self._owner.mux_of(self).send(self.number, stream, data):
            self._full = True
        self._owner.kick()
        return not self._full

    async def send(self, stream: int, data: bytes, meanwhile: Callable[[], None] | None = None) -> None:
        """Queue bytes, then wait until the channel has room for more; as :meth:`drained`."""
        self.send_nowait(stream, data)
        await self.drained(meanwhile)

    def send_message(self, text: str) -> None:
        """Queue a message. Raises as :meth:`send_nowait`."""
        self._check_open()
        if not self._owner.mux_of(self).send_message(self.number, text.encode("utf-8", "replace")):
            self._full = True
        self._owner.kick()

    async def drained(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Wait until the channel has room. Raises as :meth:`send_nowait`.

        :param meanwhile: called when anything may have come on the channel.
        """
        while self._full:
            self._check_open()
            if meanwhile is not None:
                meanwhile()
            await self._owner.wait(self)
        self._check_open()

    def end(self) -> None:
        """Say that we will send no more; reading goes on."""
        if self._broken is None and not self._closed:
            self._owner.mux_of(self).end(self.number)
            self._owner.kick()

    def reset(self, reason: str) -> None:
        """End the channel at once, for both sides."""
        if self._broken is None and not self._closed:
            self._closed = True
            self._items.clear()
            self._owner.mux_of(self).reset(self.number, reason)
            self._owner.kick()

    def _check_open(self) -> None:
        if self._broken is not None:
            raise BrokenError(self._broken)
        if self._closed:
            raise ClosedError("this channel was closed here; open another one")
