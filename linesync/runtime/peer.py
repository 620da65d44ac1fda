"""A conversation driven by asyncio over a transport's line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from .. import limits
from ..errors import LinesyncError, LinesyncFailed
from ..transports.interface import Line, LineInfo
from ..wire.events import Event
from ..wire.framing.frames import Hello
from ..wire.link import Link
from ..wire.reliability.pacing import SLICE
from .channels.streams import Stream
from .conversation import Conversation
from .identity import BOOT, local_end, token
from .lines.symptoms import Symptoms
from .pending import Pending
from .user import User

if TYPE_CHECKING:
    from .desk import Work

__all__ = ["LineEnd", "Peer"]

_MUCH = 8 << 20  # bytes of a session, above which the process may have much freed memory at its end
_SYMPTOM_INTERVAL = 1.0  # seconds between checks of a shared line for symptoms
_FAREWELL = (
    1.0  # the longest time in seconds for handling received bytes before the goodbye, and for sending the goodbye
)
_PAUSED_TICK = 0.05  # the shortest timer in seconds while the transport accepts no bytes
_SLICE = 0.005  # seconds for which the received bytes of one peer are handled before other peers are scheduled
_PIECE = 32  # records, frames and start characters that are handled between two readings of the clock
_PIPE_TICK = (
    limits.ACK_DELAY
)  # seconds between timer calls on a busy pipe; no deadline of the link on a pipe is shorter


class LineEnd:
    """The receiver of one line. Its peer may change, because a session can continue on another line."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.line: Line | None = None
        self.lost_why: LinesyncError | None = None
        """The error that ended the line, or None if the other end closed it."""
        self._lost = asyncio.Event()

    def line_made(self, line: Line) -> None:
        self.line = line
        self.peer.attach(self, line)

    def data_received(self, data: bytes | bytearray | memoryview) -> None:
        if self.peer.line is self.line:
            self.peer.take_data(data)

    def eof_received(self) -> None:
        """Do nothing: ``line_lost`` follows, because a session cannot be closed in one direction only."""

    def pause_writing(self) -> None:
        if self.peer.line is self.line:
            self.peer.set_paused(True)

    def resume_writing(self) -> None:
        if self.peer.line is self.line:
            self.peer.set_paused(False)

    def line_lost(self, error: LinesyncError | None) -> None:
        self.line = None
        self.peer.detach(self, error)

    def over(self, why: LinesyncError | None) -> None:
        """The line was lost, and its peer has handled everything that came before."""
        self.lost_why = why
        self._lost.set()

    async def lost(self) -> None:
        """Wait until the line is lost. Then ``lost_why`` says why."""
        await self._lost.wait()


class Peer(Conversation):
    """One end of a session on an asyncio loop.

    :param user: is notified of the events of the session.
    :param role: ``c`` for an end that calls, ``l`` for an end that listens.
    :param boot: the boot id of this end; by default, the boot id of this process.
    """

    def __init__(self, user: User[Peer], role: str, boot: str = BOOT) -> None:
        super().__init__(user)
        self.role = role
        self.listens = role == "l"
        self.replies_max = limits.REPLIES_MAX
        """The most bytes of replies that wait for the peer."""
        self._boot = boot
        self.line: Line | None = None
        self.info: LineInfo | None = None
        """The properties of the current line, or of the last line if there is no line now."""
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._line_timers: dict[str, asyncio.TimerHandle] = {}  # bound: fixed
        """The timers that end with the line. A remaining timer would keep the data of a closed session in memory."""
        self._flush_soon = False
        self._kicked = False
        self._paused = False
        self._closing = False
        self._pipe = False  # whether there is a line without a baud rate
        self._end: LineEnd | None = None
        self._unread = b""
        self._behind = False  # whether received bytes wait for the next slice; then reading pauses
        self._ended: tuple[LineEnd, LinesyncError | None] | None = (
            None  # the end of the line, reported after these bytes
        )
        self._lost = asyncio.Event()
        self.symptoms: Symptoms | None = None
        """The symptoms of the current line, if other stations may send on it."""
        self.lost_why: LinesyncError | None = None
        """The error that ended the last line, or None if the other end closed it."""

    # -- methods of the driver ----------------------------------------------------------------------------------------

    def now(self) -> float:
        return self._loop.time()

    def kick(self) -> None:
        self._kicked = True
        if not self._flush_soon and self.line is not None:
            self._flush_soon = True
            self._loop.call_soon(self._flush)

    def answer(self, number: str, text: str) -> None:
        super().answer(number, text)
        mux = self.current_mux()
        if self.listens and mux is not None and mux.queued(0) > self.replies_max:
            self._loop.call_soon(self.end_session, f"more than {self.replies_max >> 20} MiB of replies were not read")

    async def _until(self, key: Stream | Pending | Conversation) -> None:
        future = self._loop.create_future()
        waiters = getattr(key, "waiter", None)
        if waiters is None:
            waiters = []
            key.waiter = waiters  # type: ignore[union-attr]
        waiters.append(future)
        try:
            await future
        finally:
            try:
                waiters.remove(future)
            except ValueError:
                pass

    waiter: object = None

    def wait(self, key: Stream | Pending | Conversation) -> Awaitable[None]:
        return self._until(key)

    def wake(self, key: Stream | Pending | Conversation) -> None:
        waiters = getattr(key, "waiter", None)
        if waiters:
            for future in waiters:
                if not future.done():
                    future.set_result(None)

    def timeout(self, seconds: float | None) -> asyncio.Timeout:
        return asyncio.timeout(seconds)

    def start_work(
        self, key: Stream | Pending | Conversation, job: Callable[[], object], about: str, *, spool: bool = False
    ) -> Work:
        from .threads import start  # imported late, because only transfers of files need it

        return start(self._loop, job, about, lambda: self.wake(key), spool=spool)

    def _flush(self, *, exactly: bool = False) -> None:
        self._flush_soon = False
        link, line = self.link, self.line
        if link is None or line is None:
            return
        now = self._loop.time()
        while not self._paused:
            data = link.data_to_send(now)
            if not data:
                break
            line.write(data)
            if self._pipe and len(data) < SLICE:
                break  # all bytes were sent
        if link.session is not None and link.session.mux.events:
            self.handle(link.handle_timer(now))
        if self._closing:
            self.wake(self)
        self._set_timer(now, exactly=exactly)

    def _set_pipe_timer(self, now: float) -> None:
        """On a busy pipe, call the link soon. It would take more time to compute its next deadline after each message."""
        if self._timer is None or self._timer_at > now + _PIPE_TICK:
            self._call_at(now + _PIPE_TICK)

    def _set_timer(self, now: float, *, exactly: bool = False) -> None:
        link = self.link
        if self._pipe and not exactly and not self._paused and link is not None and link.session is not None:
            self._set_pipe_timer(now)
            return
        tick_at = link.next_timer(now) if link is not None and self.line is not None else None
        if tick_at is None:
            return  # an unnecessary call of an existing timer is cheaper than cancelling the timer
        if self._paused:
            tick_at = max(tick_at, now + _PAUSED_TICK)
        if self._timer is None or self._timer_at > tick_at:
            self._call_at(tick_at)

    def _call_at(self, tick_at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(tick_at, self._on_timer), tick_at

    def _on_timer(self) -> None:
        self._timer = None
        if self.link is not None and self.line is not None:
            self._take(self.link.handle_timer(self._loop.time()))
            if not self._flush_soon:
                self._flush(exactly=True)

    def _take(self, events: list[Event]) -> None:
        if events:
            self.handle(events)

    # -- new and lost lines (called by LineEnd) -----------------------------------------------------------------------

    def attach(self, end: LineEnd, line: Line) -> None:
        """Continue the session on this line."""
        old, self._end = self._end, end
        if old is not None and old is not end:
            if old.line is not None:
                old.line.abort()
            old.over(None)
        self.line, self.info = line, line.info
        self._pipe = line.info.byte_rate is None
        self._paused = False
        self._outside = b""
        self._ended = None
        self._lost.clear()
        if self._behind:
            line.pause_reading()
        if self.link is None:
            local = local_end(self.role, clean=line.info.eight_bit, boot=self._boot, keeping=self.keeping)
            self.link = Link(local, token)
        self.link.line_up(
            self.now(),
            byte_rate=line.info.byte_rate,
            shared=line.info.shared,
            baud=line.info.baud or 0,
            rates=line.info.rates,
        )
        self.symptoms = None
        if line.info.shared:
            self.symptoms = Symptoms(
                calls=self.role == "c", endpoint=line.info.endpoint, baud=line.info.baud, now=self.now()
            )
            self._check_symptoms_later(self.symptoms)
        self.kick()

    def bytes_outside_frames(self, data: bytes) -> None:
        if self.symptoms is not None:
            self.symptoms.receive(data)

    def set_rate(self, baud: int) -> None:
        line, link = self.line, self.link
        if line is None or link is None:
            return

        def done(found: int) -> None:
            if self.line is line and self.link is link:
                self._take(link.rate_changed(found, self._loop.time()))
                self.kick()

        line.set_baud(baud, done)

    def _check_symptoms(self, symptoms: Symptoms) -> None:
        """Report a new symptom of the line. Runs once a second."""
        link = self.link
        if symptoms is not self.symptoms or self.line is None or link is None:
            return
        sentence = symptoms.check(self.now(), heard_at=link.heard_at, echo=link.counters.echo)
        if sentence:
            self.user.trouble(self, sentence)
        self._check_symptoms_later(symptoms)

    def _check_symptoms_later(self, symptoms: Symptoms) -> None:
        self._line_timers["symptoms"] = self._loop.call_later(_SYMPTOM_INTERVAL, self._check_symptoms, symptoms)

    def take_data(self, data: bytes | bytearray | memoryview) -> None:
        link = self.link
        assert link is not None
        # If another peer adopts this line for a session that it knows, it must also read these bytes.
        adoptable = link.session is None and self.role == "l"
        self._unread = (self._unread if self._behind else b"") + bytes(data) if adoptable else b""
        if self._behind:
            self._take(link.receive_data(data, self._loop.time(), 0))
        else:
            self._handle_slice(link, data)

    def _handle_slice(self, link: Link, data: bytes | bytearray | memoryview = b"") -> None:
        """Handle received bytes until the end of a slice. The other bytes wait until this peer is scheduled again."""
        now = began = self._loop.time()
        flush_soon = self._flush_soon
        self._flush_soon = True  # the answers must not cause a flush; one write below sends them all
        self._kicked = False
        try:
            self._take(link.receive_data(data, now, _PIECE))
            while link.backlog and self.link is link and now < began + _SLICE:
                now = self._loop.time()
                self._take(link.receive_data(b"", now, _PIECE))
        finally:
            self._flush_soon = flush_soon
        if self.link is not link:
            return  # another peer adopted the line
        if link.backlog and not self._behind and self.line is not None:
            from .listening.turns import turns_of  # imported late, because most agents never need it

            self._behind = True
            self.line.pause_reading()
            turns_of(self._loop).add(self._catch_up)
        if flush_soon:
            return  # a flush is scheduled
        if self._kicked or link.has_work(now):
            self._flush()
        else:
            self._set_timer(now)

    def _catch_up(self) -> bool:
        """Handle a slice of the waiting bytes. Returns whether more bytes wait."""
        link, line = self.link, self.line
        if link is not None and line is not None:
            try:
                self._handle_slice(link)
            except Exception:
                line.abort()  # as after an error during the delivery of bytes
                self._behind = False
                raise
            if self.link is link and link.backlog and self.line is not None:
                return True
        self._behind = False
        if self.line is not None:
            self.line.resume_reading()
        if self._ended is not None:
            self.detach(*self._ended)
        self.wake(self)
        return False

    def _session_over(self, reason: str, *, restarted: bool = False) -> None:
        counters = self.link.counters if self.link is not None else None
        super()._session_over(reason, restarted=restarted)
        if counters is not None and counters.bytes_in + counters.bytes_out > _MUCH:
            # Imported late, because it imports ctypes, which most agents never need.
            from .freed_memory import return_soon

            return_soon(self._loop)

    def set_paused(self, paused: bool) -> None:
        self._paused = paused
        if not paused:
            self.kick()

    def detach(self, end: LineEnd, error: LinesyncError | None) -> None:
        if end is not self._end:
            end.over(error)
            return
        if self._behind and not self._closing:
            self._ended = end, error  # the bytes that were received before are handled first
            return
        self._end = self.line = self._ended = None
        self._pipe = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._stop_line_timers()
        if self.link is not None:
            self._take(self.link.line_down(self.now()))
        refused = "" if self.up else self.refused
        self.lost_why = LinesyncFailed(refused) if refused else error
        self._lost.set()
        end.over(self.lost_why)
        self.user.line_lost(self, self.lost_why)

    def _stop_line_timers(self) -> None:
        for timer in self._line_timers.values():
            timer.cancel()
        self._line_timers.clear()

    def adopted_by(self, other: Peer, hello: Hello) -> None:
        end, line = self._end, self.line
        if end is None or line is None:
            return
        self._end = self.line = self.link = None
        self._pipe = False
        self._stop_line_timers()
        line.resume_reading()
        end.peer = other
        other.attach(end, line)
        other.take_data(self._unread)

    # -- for the owner ------------------------------------------------------------------------------------------------

    def receiver(self) -> LineEnd:
        """A receiver for a line that this peer's session will use."""
        return LineEnd(self)

    async def lost(self) -> None:
        """Wait until the line is lost. Then ``lost_why`` contains the reason."""
        await self._lost.wait()

    def ask_alive(self) -> None:
        """Ask the peer for an answer that shows that it is alive, unless an earlier request of this kind is unanswered."""
        session = self.link.session if self.link is not None and not self.link.quiet else None
        if session is not None and not session.awaits_answer:
            session.ask()
            self.kick()

    def dismiss(self, reason: str) -> None:
        """Say goodbye if there is a session, and close the line. This does not wait, because the peer may not read."""
        line, link = self.line, self.link
        if line is not None and link is not None and link.session is not None:
            link.close(reason)
            self._flush()
            line.close()
        elif line is not None:
            line.abort()
        self.abandon(reason)

    async def ready(self) -> None:
        """Wait until a session is established."""
        while not self.up:
            await self._until(self)

    async def aclose(self, reason: str) -> None:
        """Say goodbye and close the line. The goodbye precedes all bytes that a busy line has not accepted yet."""
        if self._behind:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._handled(), _FAREWELL)
        if self.link is not None and self.line is not None:
            self._flush()  # first, because the goodbye would overtake queued data
            self.link.close(reason)
            self._closing = True
            self._flush()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._departed(), _FAREWELL)
            if self.line is not None:
                self.line.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), 2.0)
            self._closing = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _handled(self) -> None:
        """Wait until the received bytes are handled."""
        while self._behind:
            await self._until(self)

    async def _departed(self) -> None:
        """Wait until the line has accepted the goodbye, or is lost."""
        while self.line is not None and self.link is not None and self.link.departing:
            await self._until(self)
