"""One forwarded connection on its channels, with any driver (docs/protocol.md, 8.8).

1. The two directions are independent: bytes that the user of this end does not receive do not delay the confirmations of the
   bytes that it sends. Therefore everything that arrives is taken from the channels. The window of the sender limits the bytes
   that wait here.
2. A connection begins with a channel in the prompt lane, so that small pieces, such as those of a terminal, do not wait for
   copies. When many bytes wait, they go to a second channel in the bulk lane, so that they do not delay the prompt messages of
   others. The message ``turn`` on one channel reports that the bytes continue on the other channel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress

from ... import limits, protocol
from ...errors import BrokenError, EndOfStream, LinesyncError
from ...protocol import Connected, DataEnd, Received, Turn, Widen
from ...runtime.channels.streams import MESSAGE, Item, Stream
from .window import CONFIRM_AFTER, SendWindow

__all__ = ["Connection"]

_LEAST = 512  # the sender waits if the window has less room than this, so that pieces do not become small
_PROMPT_MOST = 1024  # the number of unconfirmed bytes above which bytes go to the bulk channel
_WIDEN_AT = 4096  # the number of sent bytes from which a connection needs a bulk channel
_JOINED = 4096  # pieces that are shorter than this are joined with the next piece
_PIECES = 1024  # the maximum number of waiting pieces and marks of a channel
_TURN, _END = None, b""
"""The marks between the pieces of bytes of a channel: the bytes continue on the other channel; the bytes have ended."""


class _Channel:
    """One channel of a connection."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.pieces: deque[bytes | None] = deque()  # bound: limits.FORWARD_MOST
        """The received bytes and marks that the user has not taken."""


class Connection:
    """A connection from a host to one of its sockets.

    :param stream: its channel in the prompt lane.
    :param connected: whether the connection exists already, because the host has accepted it.
    :param widen: at the client: opens the bulk channel with a key.
    :param offer: at the host: makes the key with which the client opens the bulk channel.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        connected: bool = False,
        widen: Callable[[str], Stream] | None = None,
        offer: Callable[[Connection], str] | None = None,
    ) -> None:
        self.stream = stream
        self.connected = connected
        """Whether the host has reported that it has connected to the target."""
        self._widen = widen
        self._offer = offer
        self._asked = False
        """Whether this end has asked for the bulk channel, or has offered it."""
        self._window = SendWindow()
        self._prompt = _Channel(stream)
        self._bulk: _Channel | None = None
        self._sends_on = self._receives_on = self._prompt
        """The channels on which the next bytes are sent and arrive."""
        self._sent = 0
        self._waiting = 0
        """The number of bytes that have arrived, and that the user has not taken."""
        self._given = 0
        """The number of bytes that :meth:`receive` has returned."""
        self._confirmed = 0
        self._standing = True
        """Whether more may arrive on a channel."""
        self._error: LinesyncError | None = None
        """The error that the other end has sent."""
        self._arrived = False
        """Whether the end of the bytes of the other end has arrived."""
        self._ended = False
        """Whether the user has received all bytes of the other end."""
        self._closing = False
        """Whether this end has ended its bytes."""

    @property
    def over(self) -> bool:
        """Whether both directions have ended."""
        return self._closing and self._ended

    @property
    def broken(self) -> str | None:
        """The reason why a channel broke, or None."""
        return next((stream.broken for stream in self.streams if stream.broken is not None), None)

    @property
    def streams(self) -> list[Stream]:
        """The streams of the channels."""
        return [self.stream] if self._bulk is None else [self.stream, self._bulk.stream]

    def on_broken(self, callback: Callable[[], None] | None) -> None:
        """Set the function that is called when a channel breaks."""
        for stream in self.streams:
            stream.on_broken = callback

    # -- sending ------------------------------------------------------------------------------------------------------

    async def room(self) -> int:
        """Wait until bytes may be sent. Returns their maximum number.

        :raises LinesyncError: the connection was reset, or the host could not connect.
        """
        while True:
            self._advance()
            window = self._window
            if window.room >= min(_LEAST, window.size) or not window.unconfirmed:
                return window.room
            await self.stream.until_changed()

    async def send(self, data: bytes) -> None:
        """Send bytes, and wait until all of them are queued on the channel. Raises the errors of :meth:`room`."""
        view = memoryview(data)
        while view:
            piece = view[: await self.room()]
            self._choose_channel(len(piece))
            self._window.sent(len(piece), self.stream.now())
            self._sent += len(piece)
            await self._sends_on.stream.send(0, bytes(piece))
            view = view[len(piece) :]

    def _choose_channel(self, size: int) -> None:
        """Choose the channel for the next bytes, and notify the other end of a change.

        :param size: the number of these bytes.
        """
        long = self._window.unconfirmed + size > _PROMPT_MOST
        if long and self._bulk is None and self._sent + size > _WIDEN_AT:
            self._need_bulk()
        wanted = self._bulk if long and self._bulk is not None else self._prompt
        if wanted is not self._sends_on:
            self._sends_on.stream.send_message(protocol.encode(Turn()))
            self._sends_on = wanted

    def _need_bulk(self) -> None:
        if not self._asked:
            self._asked = True
            key = self._offer(self) if self._offer is not None else ""
            self.stream.send_message(protocol.encode(Widen(key=key)))

    def join(self, stream: Stream) -> None:
        """Use a channel in the bulk lane, too."""
        self._bulk = _Channel(stream)
        stream.share_waiters(self.stream)
        stream.on_broken = self.stream.on_broken
        stream.wake()

    def end(self) -> None:
        """End the bytes of this end. It can still receive. Raises the errors of :meth:`Stream.send_message`."""
        if not self._closing:
            self._closing = True
            self._sends_on.stream.send_message(protocol.encode(DataEnd()))
            self._close_if_over()

    def reset(self, reason: str) -> None:
        """End both directions immediately. The other end gets an error."""
        for stream in self.streams:
            stream.reset(reason)

    # -- receiving ----------------------------------------------------------------------------------------------------

    async def receive(self) -> bytes:
        """Wait for bytes, and return them; b"" at the end. The bytes of the call before are then confirmed.

        :raises LinesyncError: the connection was reset, or the host could not connect.
        """
        self._confirm()
        while not self._ended:
            self._advance()
            data = self._next_bytes()
            if not (data or self._ended or self._standing):
                raise BrokenError("the other end closed the connection before the end of its bytes")
            if data:
                self._given += len(data)
                self._waiting -= len(data)
                return data
            if not self._ended:
                await self.stream.until_changed()
        return b""

    def _next_bytes(self) -> bytes:
        """The next bytes in their order; b"" if they have not arrived, or have ended."""
        found: list[bytes] = []
        while self._receives_on.pieces:
            piece = self._receives_on.pieces[0]
            if piece is _TURN:
                other = self._bulk if self._receives_on is self._prompt else self._prompt
                if other is None:
                    break  # the bulk channel has not arrived yet
                self._receives_on.pieces.popleft()
                self._receives_on = other
            elif piece == _END and found:
                break
            elif piece == _END:
                self._ended = True
                self._close_if_over()
                break
            else:
                found.append(self._receives_on.pieces.popleft() or b"")
        return b"".join(found)

    async def until_connected(self) -> None:
        """Wait until the host has connected to the target. Raises the errors of :meth:`receive`."""
        while not self.connected:
            self._advance()
            if not self.connected:
                await self.stream.until_changed()

    async def settle(self) -> None:
        """Wait until the other end has closed the channels, too."""
        for stream in self.streams:
            try:
                while True:
                    await stream.receive()
            except LinesyncError:
                pass

    def _confirm(self) -> None:
        if self._given - self._confirmed >= CONFIRM_AFTER and not self.over:
            self._confirmed = self._given
            self.stream.send_message(protocol.encode(Received(position=self._given)))

    def _advance(self) -> None:
        """Take everything that has arrived from the channels."""
        if self.over:
            return
        if self._error is not None:
            raise self._error  # another task of this connection has taken it from the channel
        self._standing = False
        for channel in (self._prompt, self._bulk):
            try:
                while channel is not None and (item := channel.stream.receive_nowait()) is not None:
                    self._take(channel, item)
                self._standing = self._standing or channel is not None
            except EndOfStream:  # the bytes may still arrive on the other channel
                pass
        if not self._standing and not self._arrived:
            raise BrokenError("the other end closed the connection before the end of its bytes")

    def _take(self, channel: _Channel, item: Item) -> None:
        if item.stream == MESSAGE:
            self._handle(channel, item.data.decode("utf-8", "replace"))
            return
        self.connected = True
        last = channel.pieces[-1] if channel.pieces else _TURN
        if last and len(last) < _JOINED:
            channel.pieces[-1] = last + item.data
        else:
            channel.pieces.append(item.data)
        self._waiting += len(item.data)
        if self._waiting > 2 * limits.FORWARD_MOST or len(channel.pieces) > _PIECES:
            reason = "the other end sent more bytes than the window of a forwarded connection allows"
            self.reset(reason)
            raise BrokenError(f"{reason}; install the same version of linesync on both ends")

    def _handle(self, channel: _Channel, text: str) -> None:
        """Handle a message of the other end."""
        self._error = protocol.read_error(text)
        if self._error is not None:
            raise self._error
        try:
            message = protocol.decode(text, Received, DataEnd, Connected, Turn, Widen)
        except LinesyncError:
            return  # a newer end sent a message that this version does not know
        if isinstance(message, Received):
            self._window.confirmed(message.position, self.stream.now())
        elif isinstance(message, Connected):
            self.connected = True
        elif isinstance(message, Widen):
            self._handle_widen(message)
        else:
            self._arrived = self._arrived or isinstance(message, DataEnd)
            channel.pieces.append(_TURN if isinstance(message, Turn) else _END)
        # The other task of this connection may wait for what this task has taken from the channel.
        self.stream.wake()

    def _handle_widen(self, message: Widen) -> None:
        if self._bulk is not None:
            return
        if self._offer is not None:
            self._need_bulk()
        elif message.key and self._widen is not None:
            with suppress(LinesyncError):  # too many channels are open; one channel is enough, but slower
                self.join(self._widen(message.key))

    def _close_if_over(self) -> None:
        if self.over:
            for stream in self.streams:
                stream.end()
