"""The conversation of two ends over a link: requests and their replies, notes, and channels.

A driver (with or without asyncio) passes the events of the link to :meth:`Conversation.handle`, and implements the methods of
:class:`~linesync.runtime.driver.Driver`.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import LinesyncError, LinesyncFailed
from ..protocol import Continue, encode, read_reply
from ..protocol.ids import NOTE
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
from ..wire.framing import hello_flags
from ..wire.framing.frames import Hello, Lane
from ..wire.link import Link
from .channels.open_streams import OpenStreams
from .channels.streams import Stream
from .driver import Driver
from .pending import Done, Pending, PendingRequests
from .refusal import REFUSAL_MOST, read_refusal
from .user import User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    from .desk import Desk
    from .listening.fair_queue import FairQueue

__all__ = ["Conversation"]

_STATIONS_MAX = 100  # the maximum number of other stations on the line that are reported
_UNSENT_MAX = 1 << 20  # bytes of requests that wait for the continuation of a session, above which it is congested


class Conversation(Driver):
    """One end of a session, above the link."""

    listens = False
    """Whether this end listens, as a hub does, and an agent for its scripts."""
    keeping = False
    """Whether this end can continue a session after a restart of the hub (docs/protocol.md, 8.6)."""
    starts_over = False
    """Whether the requests of an interrupted session are sent in a new session if the hub did not store the old session."""

    def __init__(self, user: User[Any]) -> None:
        self.user = user  # the constructor of each driver accepts only a user for its own class
        self.link: Link | None = None
        self.streams = OpenStreams(self)
        self._pending = PendingRequests(self.wake)
        self._untaken: FairQueue | None = None
        """The waiting requests and notes of the peer, each with its id, its text, and its bytes on channel 0."""
        self._other_stations: set[str] = set()  # the boot ids of reported stations; bound: conversation._STATIONS_MAX
        self._session_mux: Mux | None = None  # the mux of the session that began with the last SessionUp
        self._end_reason = ""  # the reason for the end of the last session
        self._outside = b""  # text that arrived on this line before a session began; bound: refusal.REFUSAL_MOST
        self.interrupted = ""
        """The reason for the interruption of the session; empty without an interruption. The session may continue."""
        self._kept_nonces: tuple[str, str] | None = (
            None  # the nonces of the hub and of this end, which identify the session
        )
        self._continuing = ""  # the id of the request of this end to continue the session

    def adopted_by(self, other: Self, hello: Hello) -> None:
        """Give the line to another conversation, whose session the hello wants to resume."""
        raise NotImplementedError

    # -- requests -----------------------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether a session is established. Its line may be quiet."""
        return self.current_mux() is not None and not self.interrupted

    @property
    def asks(self) -> bool:
        """Whether requests can be made. While a session is interrupted, they wait until it continues."""
        return self.current_mux() is not None or bool(self.interrupted)

    def ask(self, text: str, done: Done | None = None, *, suffix: str = "") -> tuple[str, Pending]:
        """Send a request. While the session is interrupted, the request waits until the session continues.

        :param done: called with the text of the reply, or with an error if the session ends first. It is called before
            :meth:`reply_to` returns.
        :param suffix: the number of the script for which the request is relayed. It is appended to the id after a dot.
        :return: the id of the request, and an object for :meth:`reply_to`.
        :raises LinesyncFailed: no session is established.
        """
        mux = None if self.interrupted else self.mux()
        number, pending = self._pending.add(text, done, suffix)
        if mux is not None:
            self._pending.send(mux, number, pending)
            self.kick()
        else:
            self._pending.unsent_bytes += len(text)
        return number, pending

    def tell(self, text: str) -> None:
        """Send a note that must not be lost when the hub restarts. It is dropped if no session is established.

        To a hub that stores sessions, it is sent as a request, which takes effect once even if the hub restarts.
        """
        if self._kept_nonces is not None:
            self.ask(text)
        else:
            self.note(text)

    async def reply_to(self, pending: Pending) -> str:
        """Wait for the text of a reply.

        :raises Unanswered: the session ended before the reply arrived.
        """
        while pending.reply is None:
            await self.wait(pending)
        if isinstance(pending.reply, LinesyncError):
            raise pending.reply
        return pending.reply

    def note(self, text: str) -> None:
        """Send a note, which has no reply. It is dropped if no session is established."""
        self.answer(NOTE, text)

    def answer(self, number: str, text: str) -> None:
        """Send the reply to a request. It is dropped if no session is established."""
        mux = self.current_mux()
        if mux is not None and not self.interrupted:
            mux.send_message(0, f"{number} {text}".encode("utf-8", "replace"))
            self.kick()

    @property
    def sent_mark(self) -> int | None:
        """The position after all messages that were sent on channel 0, for :meth:`has_arrived`.

        None while some of these messages are not on the line yet.
        """
        mux = self.current_mux()
        if mux is None or mux.queued(0) or self.link is None or self.link.session is None:
            return None
        return self.link.session.senders[Lane.PROMPT].next_seq

    def has_arrived(self, mark: int) -> bool:
        """Whether all messages before a position of this session have arrived. The peer handles them even if the session ends
        now."""
        session = self.link.session if self.link is not None else None
        return session is not None and session.senders[Lane.PROMPT].base >= mark

    @property
    def congested(self) -> bool:
        """Whether many bytes wait for the peer on channel 0, because the peer does not read or the line is slow."""
        if self.interrupted:
            return self._pending.unsent_bytes > _UNSENT_MAX
        mux = self.current_mux()
        return mux is not None and mux.full(0)

    def _holds_back(self) -> bool:
        """Whether the requests of the peer must wait.

        A listener delays them if the peer does not read its replies. A caller does not, because two ends that do so could
        wait for each other forever.
        """
        return (self.listens and self.congested) or self.user.holds_back(self)

    def take_requests(self) -> None:
        """Handle the waiting requests and notes, until the requests of the peer must wait again. The senders are served in
        turn."""
        mux = self.current_mux()
        failure: Exception | None = None
        while mux is not None and self._untaken and not self._holds_back():
            number, text, data = self._untaken.take()
            mux.consumed(0, data)
            try:
                self.user.request(self, number, text)
            except Exception as error:
                failure = failure or error
        if mux is not None and mux.wants(Lane.PROMPT):
            self.kick()
        if failure is not None:
            raise failure

    def drop_requests(self, selects: Callable[[str], bool]) -> list[str]:
        """Remove waiting requests without handling them. The caller must answer them.

        :param selects: returns whether to remove the request with an id.
        :return: the ids of the removed requests.
        """
        mux = self.current_mux()
        if mux is None or self._untaken is None:
            return []
        dropped = self._untaken.remove(lambda number: number != NOTE and selects(number))
        for _, _, data in dropped:
            mux.consumed(0, data)
        return [number for number, _, _ in dropped]

    # -- channels -----------------------------------------------------------------------------------------------------

    def open(self, text: str, lane: Lane = Lane.BULK) -> Stream:
        """Open a channel.

        :raises LinesyncFailed: no session is established, or it has too many channels.
        """
        return self.streams.open(text, lane)

    def mux_of(self, stream: Stream) -> Mux:
        """The mux of a stream. A stream that is not broken belongs to the current session.

        :raises LinesyncFailed: no session is established.
        """
        return self.current_mux() or self.mux()

    def mux(self) -> Mux:
        """The mux of the current session, for new requests and channels.

        :raises LinesyncFailed: no session is established.
        """
        mux = None if self.interrupted else self.current_mux()
        if mux is None:
            over = f" ({self._end_reason})" if self._end_reason else ""
            raise LinesyncFailed(
                f"there is no session on this line{over}; check that a hub or agent runs at its other end"
            )
        return mux

    def current_mux(self) -> Mux | None:
        """The mux of the current session, or None.

        It is also None during the last events of a session that the link has already ended or replaced.
        """
        session = self.link.session if self.link is not None else None
        return session.mux if session is not None and session.mux is self._session_mux else None

    def desk(self, about: str) -> Desk:
        """A desk for calls that may block, without a channel.

        :param about: the path on which the calls work.
        """
        from .desk import Desk

        return Desk(self, self, about)

    # -- events -------------------------------------------------------------------------------------------------------

    def handle(self, events: list[Event]) -> None:
        """Handle the events of the link. If a handler fails, the other events are handled first, and then the error is
        raised."""
        failure: Exception | None = None
        for event in events:
            try:
                _HANDLERS[type(event)](self, event)
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _channel_message(self, event: ChannelMessage) -> None:
        if event.channel == 0:
            number, _, text = event.data.decode("utf-8", "replace").partition(" ")
            is_reply = text == "ok" or text.startswith(("ok ", "err "))
            if not is_reply and (self._untaken or self._holds_back()):
                if self._untaken is None:
                    from .listening.fair_queue import FairQueue  # imported late, because few peers need it

                    self._untaken = FairQueue()
                self._untaken.put(self.user.sender(number, text), (number, text, event.data))
                self.user.held_back(self, number, text)
                return
            mux = self.current_mux()
            if mux is not None:
                mux.consumed(0, event.data)  # after each batch of events, the driver returns the credit
            if not is_reply:
                self.user.request(self, number, text)
            elif not self._pending.take_reply(number, text) and number == self._continuing:
                self._handle_continue_reply(text)
            return
        self.streams.message(event)

    def _channel_writable(self, event: ChannelWritable) -> None:
        if event.channel == 0:
            self.take_requests()
            self.user.requests_sent(self)
            return
        self.streams.writable(event)

    def _session_up(self, event: SessionUp) -> None:
        self._other_stations.clear()
        if self.interrupted and hello_flags.KEEPING in event.peer.flags:
            self._session_mux = self._link_mux()
            self._ask_to_continue()
            return
        if self.interrupted:
            self._session_over(self.interrupted, restarted=True)
        self._begin(event.peer)

    def _begin(self, hello: Hello) -> None:
        """Begin a new session."""
        self._session_mux = self._link_mux()
        self._pending.begin_session()
        self._enter(hello)

    def _enter(self, hello: Hello) -> None:
        session = self.link.session if self.link is not None else None
        keeping = self.keeping and not self.listens and session is not None and hello_flags.KEEPING in hello.flags
        self._kept_nonces = (hello.nonce, session.nonce) if keeping and session is not None else None
        self.user.session_up(self, hello)
        self.streams.open_again()
        self.wake(self)

    def _link_mux(self) -> Mux | None:
        return self.link.mux if self.link is not None and self.link.session is not None else None

    def _restarted(self, event: Restarted) -> None:
        same_boot = event.old_boot == event.new_boot
        reason = "the peer began a new session" if same_boot else "the peer restarted"
        if same_boot or not self.interrupt(reason):
            self._session_over(reason, restarted=True)

    def _session_ended(self, event: SessionEnded) -> None:
        self._session_over(event.reason)

    def _session_over(self, reason: str, *, restarted: bool = False) -> None:
        self._stop(reason)
        self.interrupted, self._kept_nonces = "", None
        if not restarted:  # no session follows in which they can continue
            self.streams.close_suspended(reason)
        self._pending.fail(reason)
        self.user.session_down(self, reason, restarted)
        self.wake(self)

    def _stop(self, reason: str, *, interrupted: bool = False) -> None:
        """Ignore further events of the link's session, and close its streams, or suspend them."""
        self._session_mux, self._end_reason, self._continuing = None, reason, ""
        self._untaken = None
        self.streams.stop(reason, interrupted=interrupted)

    # -- continuing a session after a restart of the hub --------------------------------------------------------------

    async def until_continued(self) -> None:
        """Wait until an interrupted session continues or has ended."""
        while self.interrupted:
            await self.wait(self)

    @property
    def end_reason(self) -> str:
        """Why the last session has ended or was interrupted."""
        return self._end_reason

    def interrupt(self, reason: str) -> bool:
        """Keep the requests until the session continues. If the session cannot continue, change nothing and return False."""
        if self._kept_nonces is None:
            return False
        self._stop(reason, interrupted=True)
        if not self.interrupted:
            self.interrupted = reason
            self.user.session_interrupted(self, reason)
        return True

    def cannot_continue(self, reason: str) -> None:
        """Give up the continuation of the session, because the hub counts this end as lost. An interrupted session ends."""
        self._kept_nonces = None
        if self._continuing:  # the hub may continue it already, so it must be notified
            self.end_session(reason)
        elif self.interrupted:
            self._session_over(reason)

    def _ask_to_continue(self) -> None:
        mux = self.current_mux()
        assert mux is not None and self._kept_nonces is not None
        self._continuing = self._pending.next_number()
        text = encode(Continue(hub=self._kept_nonces[0], own=self._kept_nonces[1]))
        mux.send_message(0, f"{self._continuing} {text}".encode())
        self.kick()

    def _handle_continue_reply(self, text: str) -> None:
        """Handle the hub's reply to the request to continue the session.

        If the session continues, the hub has already sent the replies that may be missing at this end. This end sends the
        requests that the hub does not have, in their order.
        """
        mux = self.current_mux()
        assert mux is not None and self.link is not None and self.link.session is not None
        self._continuing = ""
        try:
            reply = read_reply(text)
        except LinesyncError as error:
            if self.starts_over and isinstance(error, LinesyncFailed) and not self._pending.answered:
                # The hub stores a session before it handles a request of the session, so the requests had no effect.
                self.interrupted = ""
                self._enter(self.link.session.peer)
                self._pending.send_again(mux, ())
                self.kick()
                return
            self._session_over(self.interrupted, restarted=True)
            self._begin(self.link.session.peer)
            return
        self.interrupted = ""
        self._pending.send_again(mux, reply[1:])
        self.kick()
        self.user.session_continued(self, reply)
        self.streams.open_again()
        self.wake(self)

    def end_session(self, reason: str) -> None:
        """End the session but keep the line, on which a new session may follow.

        Data of the session that has not arrived is lost. The peer is notified as soon as it can be reached.
        """
        if self.link is not None and self.link.session is not None:
            self.link.session.broken = reason
            self.handle(self.link.handle_timer(self.now()))
            self.kick()

    def abandon(self, reason: str) -> None:
        """End the session at this end permanently. Open requests and channels fail with this reason, and its data is freed."""
        self._session_over(reason)
        self.link = None

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

    @property
    def refused(self) -> str:
        """The sentence with which the other end refused the connection; empty if it did not refuse it."""
        return read_refusal(self._outside)

    def _foreign_text(self, event: ForeignText) -> None:
        if not self.up and len(self._outside) < REFUSAL_MOST:
            self._outside += event.data[:REFUSAL_MOST]
        self.bytes_outside_frames(event.data)
        self.user.console_text(self, event.data, False)

    def _noise(self, event: Noise) -> None:
        self.bytes_outside_frames(event.data)
        self.user.console_text(self, event.data, True)

    def _rate_wanted(self, event: RateWanted) -> None:
        self.set_rate(event.baud)

    def _rate_changed(self, event: RateChanged) -> None:
        self.user.rate(self, event.baud)

    def _refused(self, event: Refused) -> None:
        self.user.trouble(self, event.reason)

    def _other_station_heard(self, event: OtherStationHeard) -> None:
        hello = event.hello
        if hello.boot not in self._other_stations and len(self._other_stations) < _STATIONS_MAX:
            self._other_stations.add(hello.boot)
            role = "hub" if hello.role == "l" else "agent"
            self.user.trouble(
                self, f"another {role} (boot {hello.boot[:4]}…) sends on this line; connect only two machines to it"
            )


_HANDLERS: dict[type[Event], Callable[[Conversation, Event], None]] = {
    ChannelData: lambda self, event: self.streams.data(event),  # type: ignore[arg-type]
    ChannelMessage: Conversation._channel_message,  # type: ignore[dict-item]
    ChannelOpened: lambda self, event: self.user.channel(self, self.streams.opened(event)),  # type: ignore[arg-type]
    ChannelEnded: lambda self, event: self.streams.ended(event),  # type: ignore[arg-type]
    ChannelClosed: lambda self, event: self.streams.closed(event),  # type: ignore[arg-type]
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
    OtherStationHeard: Conversation._other_station_heard,  # type: ignore[dict-item]
    RateWanted: Conversation._rate_wanted,  # type: ignore[dict-item]
    RateChanged: Conversation._rate_changed,  # type: ignore[dict-item]
}
