"""What two ends do over a link, without knowing who drives it: requests and their replies, channels, notices.

A driver (asyncio or a plain socket) moves bytes and time; it gives the events here and supplies three things: ``kick``
(there is something to send), ``wait`` (until something changed for a key) and ``wake``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..errors import LinesyncError, LinesyncFailed, Unanswered
from ..protocol.ids import NOTE, Id
from ..wire.channels.mux import Mux
from ..wire.events import (
    ChannelClosed,
    ChannelData,
    ChannelEnded,
    ChannelMessage,
    ChannelOpened,
    ChannelWritable,
    Event,
    ForeignText,
    LineBack,
    LineQuiet,
    Noise,
    OtherStationHeard,
    RateChanged,
    RateWanted,
    Refused,
    Restarted,
    ResumeAsked,
    SessionEnded,
    SessionUp,
)
from ..wire.framing.frames import Hello, Lane
from ..wire.link import Link
from .streams import MESSAGE, Item, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from .desk import Desk, Work

__all__ = ["Conversation", "Pending", "User"]

Done = Callable[[str | LinesyncError], None]


class Pending:
    """A request that has no reply yet."""

    __slots__ = ("done", "reply", "waiter")

    def __init__(self, done: Done | None) -> None:
        self.reply: str | LinesyncError | None = None
        self.done = done
        self.waiter: object = None


class User:
    """What a conversation tells its owner. Every method does nothing unless overridden.

    ``session_down`` is told whether the other side began a new life. ``request`` gets (id, text); the id is ``-`` for a
    note. ``resume_asked`` may name the conversation that knows the
    session.
    """

    def session_up(self, peer: Conversation, hello: Hello) -> None: ...
    def session_down(self, peer: Conversation, reason: str, restarted: bool) -> None: ...
    def line_quiet(self, peer: Conversation, silent_for: float) -> None: ...
    def line_back(self, peer: Conversation) -> None: ...
    def line_lost(self, peer: Conversation, error: LinesyncError | None) -> None: ...
    def console_text(self, peer: Conversation, data: bytes, noise: bool) -> None: ...
    def request(self, peer: Conversation, number: str, text: str) -> None: ...
    def channel(self, peer: Conversation, stream: Stream) -> None: ...
    def resume_asked(self, peer: Conversation, hello: Hello) -> Conversation | None: ...
    def trouble(self, peer: Conversation, sentence: str) -> None: ...
    def rate(self, peer: Conversation, baud: int) -> None: ...


class Conversation:
    """One end of a session, above the link."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.link: Link | None = None
        self._streams: dict[int, Stream] = {}
        self._pending: dict[str, Pending] = {}
        self._next_request = 0
        self._third_talkers: set[str] = set()
        self._known: Mux | None = None  # of the session whose beginning we were told
        self._over = ""  # why the last one is over

    # -- the driver's part --------------------------------------------------------------------------------------------

    def kick(self) -> None:
        """There is something to send."""
        raise NotImplementedError

    def wait(self, key: Stream | Pending | Self) -> Awaitable[None]:
        """Wait until :meth:`wake` was called for this key."""
        raise NotImplementedError

    def wake(self, key: Stream | Pending | Self) -> None:
        """Something changed for this key."""
        raise NotImplementedError

    def now(self) -> float:
        """Monotonic seconds."""
        raise NotImplementedError

    def start_work(self, key: Stream | Self, job: Callable[[], object], about: str, *, spool: bool = False) -> Work:
        """Run what may block where it stops nobody else; ``key`` is woken when it is over.

        :param about: the path that it is about.
        :param spool: it is about a temporary file of our own.
        """
        raise NotImplementedError

    def beside_frames(self, data: bytes) -> None:
        """Something came that is no frame; only who opens lines with others on them need look at it."""

    def adopted_by(self, other: Conversation, hello: Hello) -> None:
        """Another conversation knows the session that the new line asks for: give it the line."""
        raise NotImplementedError

    # -- requests -----------------------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """A session stands (its line may be quiet)."""
        return self._standing() is not None

    def ask(self, text: str, done: Done | None = None, *, suffix: str = "") -> tuple[str, Pending]:
        """Send a request; ``done`` is called with the reply's text, or an error when the session ends first.

        :param suffix: appended to the id after a dot: whom the request is relayed for.
        :raises LinesyncFailed: no session stands.
        """
        mux = self._mux()
        self._next_request += 1
        number = str(Id(str(self._next_request), suffix))
        pending = Pending(done)
        self._pending[number] = pending
        mux.send_message(0, f"{number} {text}".encode("utf-8", "replace"))
        self.kick()
        return number, pending

    async def reply_to(self, pending: Pending) -> str:
        """Wait for a reply's text.

        :raises Unanswered: the session ended first.
        """
        while pending.reply is None:
            await self.wait(pending)
        if isinstance(pending.reply, LinesyncError):
            raise pending.reply
        return pending.reply

    def note(self, text: str) -> None:
        """Send a message that nobody answers; dropped while no session stands."""
        self.answer(NOTE, text)

    def answer(self, number: str, text: str) -> None:
        """Send the reply to a request; dropped when its session is over."""
        mux = self._standing()
        if mux is not None:
            mux.send_message(0, f"{number} {text}".encode("utf-8", "replace"))
            self.kick()

    # -- channels -----------------------------------------------------------------------------------------------------

    def open(self, text: str, lane: Lane = Lane.BULK) -> Stream:
        """Open a channel.

        :raises LinesyncFailed: no session stands.
        """
        number = self._mux().open(lane, text.encode("utf-8", "replace"))
        stream = Stream(self, number, lane, text)
        self._streams[number] = stream
        self.kick()
        return stream

    def mux_of(self, stream: Stream) -> Mux:
        """The mux that a stream belongs to; a stream that is not broken belongs to the standing session."""
        return self._mux()

    def consumed(self, stream: Stream, data: bytes) -> None:
        """A stream's user took an item."""
        mux = self._standing()
        if mux is not None and self._streams.get(stream.number) is stream:
            mux.consumed(stream.number, data)
            if mux.wants(Lane.PROMPT):  # credit goes back
                self.kick()

    def _mux(self) -> Mux:
        mux = self._standing()
        if mux is None:
            why = f"no session stands on this line{self._over}"
            raise LinesyncFailed(f"{why}; see that a hub or agent runs at its other end")
        return mux

    def _standing(self) -> Mux | None:
        """The channels of the session that we know of, None once the link is past it: the last events of a session are
        handled when the link may have ended it already, or begun another."""
        session = self.link.session if self.link is not None else None
        return session.mux if session is not None and session.mux is self._known else None

    def desk(self, about: str) -> Desk:
        """Where somebody without a channel does what may block."""
        from .desk import Desk

        return Desk(self, self, about)

    # -- events -------------------------------------------------------------------------------------------------------

    def handle(self, events: list[Event]) -> None:
        """Take what the link reports. An event whose handler fails does not cost the others; the failure is raised in
        the end."""
        failure: Exception | None = None
        for event in events:
            try:
                _HANDLERS[type(event)](self, event)
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _channel_data(self, event: ChannelData) -> None:
        stream = self._streams.get(event.channel)
        if stream is not None:
            stream.put(Item(event.stream, event.data))
            self.wake(stream)

    def _channel_message(self, event: ChannelMessage) -> None:
        if event.channel == 0:
            mux = self._standing()
            if mux is not None:
                mux.consumed(0, event.data)  # the driver looks after each batch of events whether credit goes back
            number, _, text = event.data.decode("utf-8", "replace").partition(" ")
            if text != "ok" and not text.startswith(("ok ", "err ")):
                self.user.request(self, number, text)
            elif number in self._pending:
                self._settle(self._pending.pop(number), text)
            return
        stream = self._streams.get(event.channel)
        if stream is not None:
            stream.put(Item(MESSAGE, event.data))
            self.wake(stream)

    def _settle(self, pending: Pending, reply: str | LinesyncError) -> None:
        pending.reply = reply
        if pending.done is not None:
            pending.done(reply)
        else:
            self.wake(pending)

    def _channel_opened(self, event: ChannelOpened) -> None:
        stream = Stream(self, event.channel, event.lane, event.words.decode("utf-8", "replace"))
        self._streams[event.channel] = stream
        self.user.channel(self, stream)

    def _channel_ended(self, event: ChannelEnded) -> None:
        stream = self._streams.get(event.channel)
        if stream is not None:
            stream.put_end()
            self.wake(stream)

    def _channel_closed(self, event: ChannelClosed) -> None:
        stream = self._streams.pop(event.channel, None)
        if stream is not None:
            stream.put_closed(event.reason)
            self.wake(stream)

    def _channel_writable(self, event: ChannelWritable) -> None:
        stream = self._streams.get(event.channel)
        if stream is not None:
            stream.put_writable()
            self.wake(stream)

    def _session_up(self, event: SessionUp) -> None:
        self._known = self.link.mux if self.link is not None and self.link.session is not None else None
        self._next_request = 0
        self._third_talkers.clear()
        self.user.session_up(self, event.peer)
        self.wake(self)

    def _restarted(self, event: Restarted) -> None:
        same = event.old_boot == event.new_boot
        reason = "the other side began a new session" if same else "the other side restarted"
        self._session_over(reason, restarted=not same)

    def _session_ended(self, event: SessionEnded) -> None:
        self._session_over(event.reason)

    def _session_over(self, reason: str, *, restarted: bool = False) -> None:
        self._known, self._over = None, f" ({reason})"
        pending, self._pending = self._pending, {}
        for request in pending.values():
            self._settle(request, Unanswered(reason))
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.put_closed(reason)
            self.wake(stream)
        self.user.session_down(self, reason, restarted)
        self.wake(self)

    def abandon(self, reason: str) -> None:
        """Give the session up from our side: what is open fails with this reason."""
        self._session_over(reason)

    def _resume_asked(self, event: ResumeAsked) -> None:
        other = self.user.resume_asked(self, event.hello)
        if other is not None and other is not self:
            self.adopted_by(other, event.hello)
        elif self.link is not None:
            self.link.start_new_session(event.hello, self.now())
            self.kick()

    def _line_quiet(self, event: LineQuiet) -> None:
        self.user.line_quiet(self, event.silent_for)

    def _line_back(self, event: LineBack) -> None:
        self.user.line_back(self)

    def _foreign_text(self, event: ForeignText) -> None:
        self.beside_frames(event.data)
        self.user.console_text(self, event.data, False)

    def _noise(self, event: Noise) -> None:
        self.beside_frames(event.data)
        self.user.console_text(self, event.data, True)

    def set_rate(self, baud: int) -> None:
        """Set the line's port to this rate, and tell the link. Only a driver that opens serial lines is ever asked."""

    def _rate_wanted(self, event: RateWanted) -> None:
        self.set_rate(event.baud)

    def _rate_stands(self, event: RateChanged) -> None:
        self.user.rate(self, event.baud)

    def _refused(self, event: Refused) -> None:
        self.user.trouble(self, event.reason)

    def _third_talker(self, event: OtherStationHeard) -> None:
        hello = event.hello
        if hello.boot not in self._third_talkers and len(self._third_talkers) < 100:
            self._third_talkers.add(hello.boot)
            what = "hub" if hello.role == "l" else "agent"
            self.user.trouble(
                self, f"another {what} (boot {hello.boot[:4]}…) speaks on this line; connect just two machines to it"
            )


_HANDLERS: dict[type[Event], Callable[[Conversation, Event], None]] = {
    ChannelData: Conversation._channel_data,  # type: ignore[dict-item]
    ChannelMessage: Conversation._channel_message,  # type: ignore[dict-item]
    ChannelOpened: Conversation._channel_opened,  # type: ignore[dict-item]
    ChannelEnded: Conversation._channel_ended,  # type: ignore[dict-item]
    ChannelClosed: Conversation._channel_closed,  # type: ignore[dict-item]
    ChannelWritable: Conversation._channel_writable,  # type: ignore[dict-item]
    SessionUp: Conversation._session_up,  # type: ignore[dict-item]
    SessionEnded: Conversation._session_ended,  # type: ignore[dict-item]
    Restarted: Conversation._restarted,  # type: ignore[dict-item]
    ResumeAsked: Conversation._resume_asked,  # type: ignore[dict-item]
    LineQuiet: Conversation._line_quiet,  # type: ignore[dict-item]
    LineBack: Conversation._line_back,  # type: ignore[dict-item]
    ForeignText: Conversation._foreign_text,  # type: ignore[dict-item]
    Noise: Conversation._noise,  # type: ignore[dict-item]
    Refused: Conversation._refused,  # type: ignore[dict-item]
    OtherStationHeard: Conversation._third_talker,  # type: ignore[dict-item]
    RateWanted: Conversation._rate_wanted,  # type: ignore[dict-item]
    RateChanged: Conversation._rate_stands,  # type: ignore[dict-item]
}
