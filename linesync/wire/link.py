"""The link: reliable, ordered channels on a line that may lose, change or add any bytes.

:class:`Link` contains the complete core and does no I/O. :meth:`Link.receive_data` takes received bytes,
:meth:`Link.data_to_send` returns bytes to send, and :meth:`Link.next_timer` returns the time at which
:meth:`Link.handle_timer` must be called. Results are lists of events. ``now`` is the time of any monotonic clock, in
seconds. No input from the line raises an exception here.

The session outlives its line. If the line is lost, the session waits. It continues after :meth:`Link.line_up`, as soon
as the two ends have recognised each other on the new line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .. import limits
from .channels.mux import ALL, Mux
from .events import (
    Damaged,
    Echo,
    Event,
    ForeignText,
    FrameFound,
    LineBack,
    Noise,
    OtherStationHeard,
    Refused,
    Restarted,
    ResumeAsked,
    SessionEnded,
    SessionUp,
)
from .framing import frames, hello_flags
from .framing.frames import Hello
from .framing.payload import decode_base64
from .line import Counters, LineState, decoder_for
from .reliability.handshake import (
    ANSWER,
    COUNT_ECHO,
    ESTABLISH,
    OFFER,
    PROVE,
    REFUSE,
    REPORT,
    RESUME,
    Handshake,
    LocalParameters,
)
from .reliability.hello_timer import HelloTimer
from .reliability.liveness import Liveness
from .reliability.scheduler import Scheduler, Trace
from .reliability.session import Session
from .reliability.transmit_queue import TransmitQueue

__all__ = ["Counters", "Link", "Trace"]


class Link:
    """One end of a link.

    :param local: the parameters that this end announces in its hello.
    :param tokens: returns a new nonce of eight random base64url digits on each call.
    """

    def __init__(self, local: LocalParameters, tokens: Callable[[], str]) -> None:
        self.handshake = Handshake(local, tokens)
        self.session: Session | None = None
        self.counters = Counters()
        self._line: LineState | None = None
        self._hello_timer = HelloTimer(self.handshake)
        self._liveness = Liveness(caller=local.role == "c")
        self._scheduler = Scheduler(self._hello_timer, self._liveness, self.counters)
        self._transmit_queue = TransmitQueue(
            self._scheduler.next_control, self._scheduler.next_bulk, self._scheduler.transmitted
        )
        self._events: list[Event] = []  # bound: call
        # bound: call
        self._found: deque[Event] = deque()  # from the decoder, not yet handled by :meth:`receive_data`

    @property
    def trace(self) -> Trace | None:
        """A function that is called for each frame and for each text of a compressed record, or None.

        A text is reported like a frame with an empty kind and the length 0.
        """
        return self._scheduler.trace

    @trace.setter
    def trace(self, trace: Trace | None) -> None:
        self._scheduler.trace = trace
        self._trace_texts()

    def _trace_texts(self) -> None:
        if self.session is not None:
            self.session.mux.texts.watch = None if self._scheduler.trace is None else self._trace_text

    def _trace_text(self, way: str, channel: int, text: bytes) -> None:
        trace = self._scheduler.trace
        if trace is not None:
            trace(way, b"", b"%d: %b" % (channel, text), 0)

    # -- state for the user -------------------------------------------------------------------------------------------

    @property
    def mux(self) -> Mux:
        """The channels of the session.

        :raises RuntimeError: there is no session. Check ``link.session`` first.
        """
        if self.session is None:
            raise RuntimeError("there is no session")
        return self.session.mux

    @property
    def local(self) -> LocalParameters:
        """The parameters that this end announces in its hello."""
        return self.handshake.local

    @property
    def quiet(self) -> bool:
        """Whether there is a session whose peer is not heard on any line."""
        return self._liveness.quiet

    @property
    def heard_at(self) -> float:
        """The time when the last frame of a session arrived, in seconds; minus infinity before the first frame."""
        return self._liveness.heard_at

    @property
    def acknowledged_at(self) -> float:
        """A time at or after which the peer heard this end (:attr:`Session.acknowledged_at`), in seconds.

        Minus infinity if there is no session, or if the peer has not acknowledged anything yet.
        """
        return self.session.acknowledged_at if self.session is not None else float("-inf")

    @property
    def repaired(self) -> int:
        """The number of frames received on this line in which one wrong bit was repaired."""
        return self._line.decoder.repaired if self._line is not None else 0

    @property
    def has_line(self) -> bool:
        return self._line is not None

    # -- gaining and losing a line -----------------------------------------------------------------------------------

    def line_up(
        self,
        now: float,
        *,
        byte_rate: float | None = None,
        shared: bool = False,
        baud: int = 0,
        rates: tuple[int, ...] = (),
    ) -> None:
        """Begin to use a new line.

        :param byte_rate: the capacity of the line in bytes per second, or None for a line without a rate.
        :param shared: whether other stations may send on the line, so that a listener must be silent until it is called.
        :param baud: the current rate in bits per second, if the port can be set to other ``rates``
            (:mod:`linesync.wire.autobaud.controller`).
        """
        self._leave_line(now)  # the loss of the previous line may not have been reported
        self._line = LineState(
            shared=shared,
            byte_rate=byte_rate,
            baud=baud,
            rates=rates,
            decoder=decoder_for(self.local),
            counters=self.counters,
        )
        self.handshake.announce(hello_flags.AUTOBAUD, self._line.autobaud is not None)
        self._hello_timer.hellos.clear()
        self._hello_timer.start(now)
        if self.session is not None:
            self.session.line_changed()
            self._start_autobaud(self.session.peer, now)
            self._line.lost(now)  # the peer is not heard on this line yet
        self._set_seeds()

    def line_down(self, now: float) -> list[Event]:
        """Stop using the line because it was lost. The session stays.

        Bytes of the :attr:`backlog` that were not read yet are lost.
        """
        self._leave_line(now)
        return self._take_events(now)

    def _leave_line(self, now: float) -> None:
        """Drop all frames that were received or sent only in part, or that are in flight on the line."""
        if self._line is not None:
            self._found.extend(self._line.decoder.receive_eof())
            while self._found:
                self._dispatch(self._found.popleft(), now)
            self._events += self._line.console.flush()
            self._line = None
            self._transmit_queue.drop()
            self._hello_timer.due = None
            if self.session is not None:
                self.session.line_gone()
                if not self._liveness.quiet:
                    self._events.append(self._liveness.fall_quiet(now))

    def close(self, reason: str) -> None:
        """End the session with a goodbye frame.

        Afterwards send the bytes of :meth:`data_to_send` until :attr:`departing` is false, and then close the line.
        """
        if self.session is not None:
            self._scheduler.queue_goodbye(reason)

    @property
    def departing(self) -> bool:
        """Whether the goodbye of :meth:`close` still waits to be sent, completely or in part, because the line is busy."""
        return self._scheduler.departing

    # -- receiving ----------------------------------------------------------------------------------------------------

    @property
    def backlog(self) -> bool:
        """Whether received bytes wait to be handled. If so, call :meth:`receive_data` without bytes to continue."""
        if self._found or (self.session is not None and self.session.undelivered):
            return True
        return self._line is not None and self._line.decoder.stopped

    def receive_data(self, data: bytes | bytearray | memoryview, now: float, most: int = ALL) -> list[Event]:
        """Handle received bytes, and return the events that they cause.

        :param most: the maximum number of steps. A step is a frame, a start character, a record or the comparison with
            a damaged piece. Bytes that were not handled are kept as the :attr:`backlog`.
        """
        line = self._line
        if line is not None:
            self.counters.bytes_in += len(data)
            self._found.extend(line.decoder.receive(data, now, 0 if self.backlog else most))
        while most > 0:
            session = self.session
            if session is not None and session.undelivered:
                events, most = session.deliver(most)
                self._events += events
            elif self._found:
                most -= 1 if line is None else 1 + line.console.compared
                self._dispatch(self._found.popleft(), now)
            elif line is not None and line.decoder.stopped:
                before = line.decoder.steps
                self._found.extend(line.decoder.receive(b"", now, most))
                most -= line.decoder.steps - before
            else:
                break
        if line is not None and line.autobaud is not None and data:
            no_frame = self._liveness.valid_at != now and not self.backlog
            line.bytes_received(bytes(data), no_frame=no_frame, now=now)
            self._apply_autobaud(line, now)
        return self._take_events(now)

    def _take_events(self, now: float) -> list[Event]:
        if self.session is not None:
            self._events += self.session.mux.events
            self.session.mux.events = []
            if self.session.broken:
                self._scheduler.queue_parting(self.session, self.session.broken)
                self._end_session(self.session.broken, now)
        events, self._events = self._events, []
        for event in events:
            if isinstance(event, ForeignText):
                self.counters.text += len(event.data)
            elif isinstance(event, Noise):
                self.counters.noise += len(event.data)
        return events

    def _dispatch(self, event: Event, now: float) -> None:
        if isinstance(event, FrameFound):
            self._frame(event, now)
        elif isinstance(event, ForeignText | Damaged):
            assert self._line is not None
            self._events += self._line.classify_outside(event, now)
        elif isinstance(event, Echo):
            self.counters.echo += event.length

    def _frame(self, found: FrameFound, now: float) -> None:
        frame = found.frame
        self.counters.frames_in += 1
        self._liveness.valid_at = now
        trace = self._scheduler.trace
        if trace is not None:
            trace("in", frame.kind, frame.body, found.length)
        if frame.kind == frames.HELLO:
            hello = Hello.read(frame.body)
            if hello is not None:
                self._hello(hello, found.length, now, adopt=False)
            return
        if self.handshake.frame_keyed(frame.seed, now):
            self._establish(now)
        if self.session is None or self.session.broken or frame.seed != self.session.seed_in:
            self.counters.stray += 1
            return
        assert self._line is not None
        self._heard(now)
        if frame.kind == frames.BYE:
            reason = decode_base64(frame.body) or b""
            self._end_session(reason.decode("utf-8", "replace") or "the peer closed the session", now)
            return
        if self._line.autobaud is not None:
            self._line.frame_received(frame, self.session.round_trip.smoothed, self.local.frame, now)
            self._apply_autobaud(self._line, now)
        self.session.line_alters = self._line.decoder.altered
        self.session.receive(found, self._line.pacer, now)
        if self.session.wants_eight_bits is not None:
            self._line.decoder.read_eight_bits(self.session.wants_eight_bits)
        if frame.kind in frames.DATA_KINDS and self._line.console.holds:
            text = frames.encode(frame.kind, frame.body, 0)[1 : -limits.CHECK_SIZE - 1]
            self._events += self._line.console.good_copy(text)

    def _heard(self, now: float) -> None:
        self._liveness.heard_at = now
        self._hello_timer.due = None
        if self._liveness.quiet:
            self._liveness.quiet = False
            self._events.append(LineBack())
            if self.session is not None:
                self.session.round_trip.backoff = 0
                self.session.ask()

    # -- the handshake ------------------------------------------------------------------------------------------------

    def start_new_session(self, hello: Hello, now: float) -> None:
        """Offer a new session to the sender of a hello, because no link has the session that it wants to resume.

        :param hello: the hello of :class:`ResumeAsked`.
        """
        self._hello(hello, 0, now, adopt=True)

    def _hello(self, hello: Hello, length: int, now: float, *, adopt: bool) -> None:
        alive = self.session is not None and self._liveness.alive(now)
        action = self.handshake.received(hello, now, alive=alive, adopt=adopt)
        if action == COUNT_ECHO:
            self.counters.echo += length
            return
        if action == REPORT:
            self.counters.third += 1
            self._events.append(OtherStationHeard(hello))
            return
        if action == REFUSE:
            self._events.append(Refused(self.handshake.refusal(hello)))
            if not hello.peer:
                self._hello_timer.answer(hello)  # so that the other side can report the same
            return
        if action == RESUME:
            self._events.append(ResumeAsked(hello))
        elif action in (ANSWER, OFFER):
            self._hello_timer.answer(hello)
            self._set_seeds()
        elif action == ESTABLISH:
            self._establish(now)
        elif action == PROVE:
            self._heard(now)
            if self.session is not None:
                self.session.peer_asks()
                self.session.round_trip.backoff = 0
                self.session.ask()  # the peer did not hear this end, therefore frames in flight may be lost too

    def _set_seeds(self) -> None:
        if self._line is not None:
            self._line.decoder.seeds = self.handshake.inbound_seeds()
            self._line.decoder.echo_seeds = self.handshake.outbound_seeds()

    def _establish(self, now: float) -> None:
        peer = self.handshake.peer
        assert peer is not None
        old, self.session = self.session, None
        if old is not None:
            restarted = old.peer.boot != peer.boot
            reason = "the peer restarted" if restarted else "the peer began a new session"
            self._events.append(Restarted(old.peer.boot, peer.boot))
            self._events += old.mux.close_all(reason)
        seeds = (self.handshake.outbound_seeds()[0], self.handshake.inbound_seeds()[0])
        rate = self._line.pacer.rate if self._line is not None else None
        self.session = Session(local=self.local, nonce=self.handshake.nonce, peer=peer, seeds=seeds, rate=rate, now=now)
        self._trace_texts()
        self._drop_unsent()
        self._transmit_queue.nest = self.session.nest
        self._liveness.quiet = False
        self._heard(now)
        self._events.append(SessionUp(peer))
        self.session.ask()  # proves to the peer that this end is alive, and measures the round trip
        self._start_autobaud(peer, now)

    def _end_session(self, reason: str, now: float) -> None:
        session, self.session = self.session, None
        if session is None:
            return
        self._events += session.mux.close_all(reason)
        self._events.append(SessionEnded(reason))
        self.handshake.end()
        self._drop_unsent()
        if self._line is not None:
            self._line.lost(now)
            self._hello_timer.start(now + limits.CALL_SLOW)

    def _drop_unsent(self) -> None:
        """Drop the frames that wait or were sent only in part, because they belong to an earlier session."""
        self._scheduler.bye, self._scheduler.departing = None, False
        self._transmit_queue.drop()
        self._hello_timer.hellos.clear()
        self._set_seeds()

    # -- sending ------------------------------------------------------------------------------------------------------

    def data_to_send(self, now: float) -> bytes:
        """Return the bytes to hand to the line now; empty if there are none or the line is busy."""
        line = self._line
        if line is None or not self._liveness.may_speak(line, now):
            return b""
        budget = line.pacer.budget(now)
        if budget <= 0:
            return b""
        session = self.session
        if session is not None and self._scheduler.only_prompt_data(line, session, self._transmit_queue.half_sent, now):
            data = self._scheduler.take_prompt_data(session, now)
        else:
            self._scheduler.prepare(line, session, now)
            data = self._transmit_queue.take(budget)
        if data:
            line.pacer.sent(len(data), now)
            self.counters.bytes_out += len(data)
            self._liveness.spoke_at = now
        return data

    # -- time ---------------------------------------------------------------------------------------------------------

    def next_timer(self, now: float) -> float | None:
        """Return the time when to call :meth:`handle_timer` and then :meth:`data_to_send`, in seconds, or None."""
        line = self._line
        if line is None:
            return None
        session, liveness = self.session, self._liveness
        times = [line.decoder.next_timer(), line.console.next_timer(), self._hello_timer.due]
        if line.autobaud is not None:
            times += (line.autobaud.next_timer(), line.port_free_at(self._transmit_queue.half_sent))
        speaks = liveness.may_speak(line, now)
        if session is not None and not liveness.quiet and not line.silent:
            since = session.unanswered_since
            times += (liveness.quiet_at(line, since), liveness.ask_at(line, since))
            if speaks:
                times += (session.next_timer(now), max(liveness.keepalive_at(line), line.pacer.next_time(now)))
        if speaks and self.has_work(now):
            times.append(line.pacer.next_time(now))
        return min((time for time in times if time is not None), default=None)

    def has_work(self, now: float) -> bool:
        """Return whether a frame waits to be sent as soon as the line accepts it."""
        return self._scheduler.has_work(self._line, self.session, self._transmit_queue.half_sent, now)

    def handle_timer(self, now: float) -> list[Event]:
        """Do all work whose time has come, and return the events that it causes."""
        line = self._line
        if line is None:
            return self._take_events(now)
        for event in line.decoder.handle_timer(now):
            self._dispatch(event, now)
            if isinstance(event, Damaged):
                self._frame_broke_off(now)
        self._events += line.console.handle_timer(now)
        if line.autobaud is not None:
            line.autobaud.handle_timer(now)
            self._apply_autobaud(line, now)
        session, liveness = self.session, self._liveness
        if session is not None and not liveness.quiet and not line.silent:
            quiet_at = liveness.quiet_at(line, session.unanswered_since)
            ask_at = liveness.ask_at(line, session.unanswered_since)
            if quiet_at is not None and now >= quiet_at:
                self._become_quiet(line, now)
            elif ask_at is not None and now >= ask_at:
                session.ask()
                session.unanswered_since = now
        self._hello_timer.handle_timer(now, again=session is not None)
        if session is not None and not liveness.quiet:
            session.handle_timer(now)
        return self._take_events(now)

    def _frame_broke_off(self, now: float) -> None:
        """Poll the peer, which stopped in the middle of a frame, because the line may have failed.

        The poll cannot wait: a listener may answer only for a short time after a valid frame.
        """
        if self.session is not None and self.local.role == "c" and not self._liveness.quiet:
            self.session.ask()
            self.session.unanswered_since = self.session.unanswered_since or now

    def _become_quiet(self, line: LineState, now: float) -> None:
        """Report that the peer of the session is no longer heard on the line, and start to call it with hellos."""
        self._events.append(self._liveness.fall_quiet(now))
        self._transmit_queue.drop()
        if self.session is not None:
            self.session.line_gone()
        self._hello_timer.start(now)
        line.lost(now)

    # -- the line's rate ----------------------------------------------------------------------------------------------

    @property
    def baud(self) -> int | None:
        """The current rate in bits per second; None if the rate of the line never changes."""
        autobaud = self._line.autobaud if self._line is not None else None
        return autobaud.standing if autobaud is not None else None

    def rate_changed(self, baud: int, now: float) -> list[Event]:
        """Continue at the rate that the port has now, in bits per second.

        This is the previous rate if the port refused the rate of :class:`RateWanted`.
        """
        line = self._line
        if line is not None and line.autobaud is not None:
            for event in line.pace_by(baud, now):
                self._dispatch(event, now)
            line.autobaud.changed(baud, now)
            self._apply_autobaud(line, now)
        return self._take_events(now)

    def _start_autobaud(self, peer: Hello, now: float) -> None:
        """Start the search for a better rate, because a session begins or continues on the line."""
        if self._line is not None and self._line.autobaud is not None:
            leads = self.handshake.leads(peer)
            self._line.autobaud.session_up(leads=leads, able=hello_flags.AUTOBAUD in peer.flags, now=now)

    def _apply_autobaud(self, line: LineState, now: float) -> None:
        """Execute the requests of the autobaud controller."""
        session, autobaud = self.session, line.autobaud
        if autobaud is None:
            return
        if autobaud.peer_lost:
            autobaud.peer_lost = False
            if not self._liveness.quiet and session is not None:
                self._become_quiet(line, now)
            else:
                autobaud.lost(now)
        if autobaud.poll:
            autobaud.poll = False
            if session is not None:
                session.ask()
        if autobaud.silent and session is not None:
            session.unanswered_since = None  # the peer is silent as well
        self._events += line.rate_events(self._transmit_queue.half_sent, now)
