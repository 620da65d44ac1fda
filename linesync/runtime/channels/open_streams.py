"""The open streams of one end of a session, and those that wait to continue after an interruption."""

from __future__ import annotations

from ... import limits
from ...errors import LinesyncError, LinesyncFailed
from ...wire.events import ChannelClosed, ChannelData, ChannelEnded, ChannelMessage, ChannelOpened, ChannelWritable
from ...wire.framing.frames import Lane
from .streams import INTERRUPTED, MESSAGE, Item, Owner, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from ...wire.channels.mux import Mux
    from .resumable import ResumableStream

    class Session(Owner, Protocol):
        """The part of a conversation that its open streams use."""

        @property
        def up(self) -> bool: ...
        def mux(self) -> Mux: ...
        def current_mux(self) -> Mux | None: ...


__all__ = ["OpenStreams"]


class OpenStreams:
    """Passes the events of each channel to its stream, and opens suspended streams again when the session continues."""

    def __init__(self, owner: Session) -> None:
        self._owner = owner
        self._streams: dict[int, Stream] = {}  # bound: limits.CHANNELS
        self._suspended: list[ResumableStream] = []  # bound: limits.CHANNELS
        """The streams that we opened and that wait until we can open another channel for them."""

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, text: str, lane: Lane) -> Stream:
        """Open a channel.

        :raises LinesyncFailed: no session is established, or it has too many channels.
        """
        mux = self._owner.mux()
        if mux.open_count >= limits.CHANNELS:
            raise LinesyncFailed(
                f"this session has {limits.CHANNELS} open channels already; wait until some of them end"
            )
        number = mux.open(lane, text.encode("utf-8", "replace"))
        stream = Stream(self._owner, number, lane, text)
        self._streams[number] = stream
        self._owner.kick()
        return stream

    def open_resumable(
        self, text: str, again: Callable[[int], str], hidden: bytes | None, lane: Lane
    ) -> ResumableStream:
        """Open a channel that continues after an interruption of this session, or of a session of a relay.

        :param again: as for :class:`ResumableStream`, like ``hidden``.
        :raises LinesyncFailed: as :meth:`open` does.
        """
        from .resumable import ResumableStream  # most peers never need it

        channel = self.open(text, lane)
        stream = ResumableStream(self._owner, channel.number, channel.lane, text, again=again, hidden=hidden)
        self.replace(channel, stream)
        return stream

    def replace(self, old: Stream, new: Stream) -> None:
        """Another stream gets everything that arrives on the channel of a stream."""
        if self._streams.get(old.number) is old:
            self._streams[old.number] = new

    def consumed(self, stream: Stream, data: bytes) -> None:
        """Return credit for an item that the user of a stream has received."""
        mux = self._owner.current_mux()
        if mux is not None and self._streams.get(stream.number) is stream:
            mux.consumed(stream.number, data)
            if mux.wants(Lane.PROMPT):  # the credit must be sent
                self._owner.kick()

    def forget(self, stream: Stream) -> None:
        """Remove a stream that this end has reset. Later data of the channel is dropped."""
        self._suspended = [other for other in self._suspended if other is not stream]
        if self._streams.get(stream.number) is stream:
            del self._streams[stream.number]

    # -- the events of the channels -----------------------------------------------------------------------------------

    def data(self, event: ChannelData) -> None:
        """Data arrived on a stream of a channel."""
        stream = self._streams.get(event.channel)
        if stream is not None:
            stream.put(Item(event.stream, event.data))
            self._owner.wake(stream)

    def message(self, event: ChannelMessage) -> None:
        """A message arrived on a channel."""
        stream = self._streams.get(event.channel)
        if stream is not None:
            stream.put(Item(MESSAGE, event.data))
            self._owner.wake(stream)

    def opened(self, event: ChannelOpened) -> Stream:
        """The peer opened a channel. Return its stream."""
        stream = Stream(self._owner, event.channel, event.lane, event.words.decode("utf-8", "replace"))
        self._streams[event.channel] = stream
        return stream

    def ended(self, event: ChannelEnded) -> None:
        """The peer sends nothing more on a channel."""
        stream = self._streams.get(event.channel)
        if stream is not None:
            stream.put_end()
            self._owner.wake(stream)

    def closed(self, event: ChannelClosed) -> None:
        """A channel closed, or was interrupted at a relay."""
        stream = self._streams.pop(event.channel, None)
        if stream is None:
            return
        interrupted = event.reason.startswith(INTERRUPTED)
        reason = event.reason.removeprefix(INTERRUPTED)
        if not interrupted:
            stream.put_closed(reason)
        elif self._suspend(stream, reason) and self._owner.up:
            self.open_again()
        self._owner.wake(stream)

    def writable(self, event: ChannelWritable) -> None:
        """A channel accepts data again."""
        stream = self._streams.get(event.channel)
        if stream is not None:
            stream.put_writable()
            self._owner.wake(stream)

    # -- the end and the continuation of the session ------------------------------------------------------------------

    def stop(self, reason: str, *, interrupted: bool) -> None:
        """The session has ended, or was interrupted: close each stream, or suspend it."""
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            if interrupted:
                self._suspend(stream, reason)
            else:
                stream.put_closed(reason)
            self._owner.wake(stream)

    def open_again(self) -> None:
        """Open a channel for each suspended stream."""
        suspended, self._suspended = self._suspended, []
        for stream in suspended:
            try:
                channel = self.open(stream.opening, stream.lane)
            except LinesyncError as error:
                stream.put_closed(error.message)
            else:
                self.replace(channel, stream)
                stream.reopened(channel.number)
            self._owner.wake(stream)

    def close_suspended(self, reason: str) -> None:
        """Close the suspended streams, because no session follows in which they can continue."""
        suspended, self._suspended = self._suspended, []
        for stream in suspended:
            stream.put_closed(reason)
            self._owner.wake(stream)

    def _suspend(self, stream: Stream, reason: str) -> bool:
        """A stream was interrupted. Returns whether we must open a channel to continue it; otherwise the other end does that,
        or the stream is broken."""
        if not stream.suspend(reason):
            stream.put_closed(reason, interrupted=True)
            return False
        if stream.opens:
            self._suspended.append(stream)  # type: ignore[arg-type]
        return stream.opens
