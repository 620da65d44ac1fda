"""A channel that continues on another channel after the hub in the middle was killed (docs/protocol.md, 8.7).

Both ends count the data and the messages that they have sent and received. The count is a *position*: each byte of data
counts 1, and each message counts 1. The sender keeps all sent data and messages until the receiver confirms that its user has
taken them. It sends at most :data:`limits.KEPT` beyond the last confirmation, so neither end needs more memory than that. After
an interruption, each end reports the position that it has received, and the other end continues at exactly this position.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .. import limits, protocol
from ..errors import LinesyncError
from ..wire.framing.frames import Lane
from .streams import MESSAGE, Item, Owner, Stream

__all__ = ["ResumableStream", "SendBuffer"]

_RECEIVED = protocol.Received.VERB.encode() + b" "
_CONFIRM_AFTER = (
    limits.KEPT // 4
)  # the receiver confirms when its user has taken at least this size since the last confirmation
_PIECE = 1 << 16  # the maximum size of an item of data, so that a sender exceeds the window by less than this size


def _size(item: Item) -> int:
    """The difference of the positions before and after an item."""
    return 1 if item.stream == MESSAGE else len(item.data)


class SendBuffer:
    """The items that one end has to send, and those that it may have to send again.

    :ivar bounded: whether the window limits sending. If not, the receiver confirms nothing, and no sent item is kept.
    """

    def __init__(self, window: int = limits.KEPT) -> None:
        self.bounded = True
        self._window = window
        self._waiting: deque[Item] = deque()  # bound: limits.KEPT
        """The items that were not sent on the current channel."""
        self._waiting_size = 0
        self._sent: deque[Item] = deque()  # bound: limits.KEPT
        self._begin = 0
        """The position before the first item of ``_sent``."""
        self._end = 0
        """The position after the last item of ``_sent``."""
        self._confirmed = 0

    @property
    def empty(self) -> bool:
        """Whether everything was sent."""
        return not self._waiting

    @property
    def full(self) -> bool:
        """Whether the user should wait before it adds more."""
        if not self.bounded:
            return False
        return self._end - self._confirmed + self._waiting_size >= self._window

    def put(self, item: Item, *, first: bool = False) -> None:
        """Add an item.

        :param first: send it before the waiting items.
        """
        if first:
            self._waiting.appendleft(item)
        elif item.stream == MESSAGE or len(item.data) <= _PIECE:
            self._waiting.append(item)
        else:
            view = memoryview(item.data)
            self._waiting.extend(
                [Item(item.stream, bytes(view[at : at + _PIECE])) for at in range(0, len(view), _PIECE)]
            )
        self._waiting_size += _size(item)

    def take(self) -> Item | None:
        """The next item to send; None if there is none. While the window is full, only a message can be the next item."""
        if not self._waiting:
            return None
        if self.bounded and self._end - self._confirmed >= self._window and self._waiting[0].stream != MESSAGE:
            return None
        item = self._waiting.popleft()
        self._waiting_size -= _size(item)
        self._end += _size(item)
        if self.bounded:
            self._sent.append(item)
        return item

    def confirm(self, position: int) -> None:
        """Handle a confirmation: the user of the other end has taken everything before this position."""
        if not self._confirmed < position <= self._end:
            return
        self._confirmed = position
        while self._sent and self._begin + _size(self._sent[0]) <= position:
            self._begin += _size(self._sent.popleft())

    def rewind(self, position: int) -> bool:
        """Send everything after a position again. If this is not possible, return False and change nothing."""
        if not self.bounded or not self._begin <= position <= self._end:
            return False
        at, repeated = self._begin, []
        for item in self._sent:
            if at >= position:
                repeated.append(item)
            elif at + _size(item) > position:
                repeated.append(Item(item.stream, item.data[position - at :]))
            at += _size(item)
        self._waiting.extendleft(reversed(repeated))
        self._waiting_size += self._end - position
        self._sent.clear()
        self._begin = self._end = position
        return True

    def unbind(self) -> None:
        """Stop keeping sent items, because the other end confirms nothing."""
        self.bounded = False
        self._sent.clear()

    def clear(self) -> None:
        """Drop all items, because nothing more is sent."""
        self.unbind()
        self._waiting.clear()
        self._waiting_size = 0


class ResumableStream(Stream):
    """A stream that continues on another channel.

    While it is suspended, the user can write until the send buffer is full, and a reader waits for items. The stream breaks
    when the channel is reset, or if the stream is not continued.

    :param again: for the end that opens the channel: makes the text of the opening that continues the stream after a
        position. None for the other end.
    :param hidden: the prefix of messages that the user does not get.
    :ivar on_suspended: called when the stream is suspended.
    """

    def __init__(
        self,
        owner: Owner,
        number: int,
        lane: Lane,
        words: str,
        *,
        again: Callable[[int], str] | None = None,
        hidden: bytes | None = None,
    ) -> None:
        super().__init__(owner, number, lane, words)
        self.on_suspended: Callable[[], None] | None = None
        self._again = again
        self._hidden = hidden
        self._out = SendBuffer()
        self._received = 0
        self._taken = 0
        self._confirmed = 0
        """The last position that we have confirmed."""
        self._known = again is None
        """Whether we know if the other end can continue the stream. The first message of an end that can continue it is a
        position, or its last message."""
        self._joined = True
        """Whether the other end has reported its position on this channel, so that we can send."""
        self._suspended = ""
        """Why the stream is suspended; empty if it is not."""
        self._finishing = False
        """Whether our direction ends after everything was sent."""
        self._stated = False
        """Whether we have sent a position."""
        self._data_ended = False
        """Whether the user has ended our data."""
        self._stale = 0
        """The number of items in the queue that arrived on an earlier channel."""

    @property
    def opens(self) -> bool:
        return self._again is not None

    # -- from the conversation ----------------------------------------------------------------------------------------

    def suspend(self, reason: str) -> bool:
        over = self._finishing and (self._ended or self._again is not None)
        if self._closed or self._broken is not None or over or not self._out.bounded:
            return False
        self._suspended, self._full, self._stale = reason, False, len(self._items)
        if self.on_suspended is not None:
            self.on_suspended()
        return True

    @property
    def opening(self) -> str:
        """The text of the opening that continues this stream."""
        assert self._again is not None
        return self._again(self._received)

    def reopened(self, number: int) -> None:
        """Continue on a channel that we have opened. We send again after the other end has reported its position."""
        self.number, self._suspended, self._joined = number, "", False

    def join(self, channel: Stream, position: int | None = None) -> bool:
        """Continue on a channel that the other end has opened, in place of its stream.

        :param position: the position that the other end has received; None for the first channel.
        :returns: False, without a change, if that position is not possible.
        """
        if position is not None and not self._out.rewind(position):
            return False
        self.number, self.lane, self._owner = channel.number, channel.lane, channel._owner
        self._suspended, self._full, self._stale = "", False, len(self._items)
        self._owner.streams.replace(channel, self)
        if position is not None:
            self._send_position(self._received)
            self._confirm_again()
        while channel._items:
            self.put(channel._items.popleft())
        if channel._ended:
            self.put_end()
        self._pump()
        self.wake()
        return True

    def put(self, item: Item) -> None:
        if item.stream == MESSAGE:
            if item.data.startswith(_RECEIVED):
                self._owner.streams.consumed(self, item.data)
                self._put_position(item.data)
                return
            if not (self._known and self._joined):
                self._put_without_position()
        self._received += _size(item)
        if self._hidden is not None and item.stream == MESSAGE and item.data.startswith(self._hidden):
            self._owner.streams.consumed(self, item.data)
            self._taken += _size(item)
            return
        if (
            self.on_message is not None
            and item.stream == MESSAGE
            and self.on_message(item.data.decode("utf-8", "replace"))
        ):
            self._owner.streams.consumed(self, item.data)
            self._taken += _size(item)
            return
        super().put(item)
        if self._again is None:
            if self._received - self._taken > 2 * limits.KEPT:
                self.reset(f"more than {limits.KEPT} bytes came without a confirmation")
                self.put_closed("the other end sent more than it may")
                return
            self._owner.streams.consumed(self, item.data)  # the window limits it, and a confirmation may follow it

    def _put_position(self, data: bytes) -> None:
        try:
            message = protocol.decode(data.decode("utf-8", "replace"), protocol.Received)
        except LinesyncError:
            return
        assert isinstance(message, protocol.Received)
        self._known = True
        if self._joined:
            self._out.confirm(message.position)
            self._confirm_if_due()  # the user may have taken much before we knew that the other end can continue the stream
        elif self._out.rewind(message.position):
            self._joined = True
            self._confirm_again()
        else:
            self.reset("an impossible position")
            self.put_closed(f"the other end reported position {message.position}, which is not possible")
            return
        self._pump()
        self.wake()

    def _put_without_position(self) -> None:
        """Handle a first message that is not a position: the other end cannot continue the stream, or does not do so."""
        if self._joined:
            self._out.unbind()
            self._finishing = self._finishing or self._data_ended
        else:
            self._out.clear()
        self._known = self._joined = True
        self._pump()

    def put_end(self) -> None:
        super().put_end()
        if self._data_ended and self._again is not None:
            self.finish()  # all data of the other end has arrived

    def put_closed(self, reason: str, *, interrupted: bool = False) -> None:
        self._suspended = ""
        super().put_closed(reason, interrupted=interrupted)

    # -- for the user -------------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        return self._full or self._out.full

    @property
    def queued(self) -> int:
        return 0 if self._suspended else super().queued

    def receive_nowait(self) -> Item | None:
        if not self._items:
            return super().receive_nowait()
        item = self._items.popleft()
        if self._stale:
            self._stale -= 1
        elif self._again is not None:
            self._owner.streams.consumed(self, item.data)
        self._taken += _size(item)
        self._confirm_if_due()
        return item

    def _confirm_if_due(self) -> None:
        if self._known and self._taken - self._confirmed >= _CONFIRM_AFTER:
            self.confirm()

    def confirm(self) -> None:
        """Confirm the position up to which the user has taken items."""
        if self._out.bounded and not (self._suspended or self._finishing) and self._joined and self._broken is None:
            self._confirmed = self._taken
            self._send_position(self._taken)

    def _confirm_again(self) -> None:
        """Confirm again after an interruption, because the last confirmation may be lost and the other end may wait for it."""
        if self._taken:
            self.confirm()

    def _send_position(self, position: int) -> None:
        text = protocol.encode(protocol.Received(position=position))
        self._stated = True
        self._owner.mux_of(self).send_message(self.number, text.encode())
        self._owner.kick()

    def send_nowait(self, stream: int, data: bytes) -> bool:
        self._check_open()
        if data:
            self._out.put(Item(stream, data))
            self._pump()
        return not self.full

    def send_message(self, text: str) -> None:
        self._check_open()
        self._out.put(Item(MESSAGE, text.encode("utf-8", "replace")))
        self._pump()

    def send_urgent(self, text: str) -> None:
        self._check_open()
        self._out.put(Item(MESSAGE, text.encode("utf-8", "replace")), first=True)
        self._pump()

    def put_writable(self) -> None:
        super().put_writable()
        self._pump()

    def end(self) -> None:
        """End our data. Confirmations are still possible, so the channel itself is ended by :meth:`finish`."""
        if self._broken is not None or self._closed or self._data_ended:
            return
        self._data_ended = True
        if self._out.bounded and not self._finishing:
            self.send_message(protocol.encode(protocol.DataEnd()))
        else:
            self.finish()

    def finish(self) -> None:
        self._finishing = True
        if self._broken is None and not self._closed:
            self._pump()

    def reset(self, reason: str) -> None:
        if not self._suspended:
            super().reset(reason)
        elif self._broken is None and not self._closed:
            self._closed, self._suspended = True, ""
            self._items.clear()
            self._owner.streams.forget(self)
            self.wake()

    def _pump(self) -> None:
        """Send as many items as possible now."""
        if self._suspended or not self._joined or self._broken is not None:
            return
        mux = self._owner.mux_of(self)
        while not self._full and (item := self._out.take()) is not None:
            if item.stream == MESSAGE:
                room = mux.send_message(self.number, item.data)
            else:
                room = mux.send(self.number, item.stream, item.data)
            self._full = self._full or not room
        if not self._out.empty and not self._stated and self._again is None:
            self.confirm()  # the client confirms nothing before it gets a position
        if self._finishing and self._out.empty:
            mux.end(self.number)
        self._owner.kick()
