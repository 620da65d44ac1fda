"""The link: reliable, ordered channels on a line that may do anything.

This is the whole core behind one object that does no I/O. Bytes that arrived go in by :meth:`Link.receive_data`; bytes
to send come out of :meth:`Link.data_to_send`; :meth:`Link.next_timer` says when to call :meth:`Link.handle_timer`; what
happened is a list of events. ``now`` is monotonic seconds, from anywhere. Nothing here raises on any input.

The link outlives its line: when the line is lost the session stays, and goes on when :meth:`Link.line_up` tells of
another one and the two ends know each other again.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import limits
from .channels.mux import Mux
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
from .framing import frames
from .framing.decoder import Decoder
from .framing.frames import Hello, Lane
from .framing.payload import decode_base64
from .line import Counters, LineState
from .reliability.handshake import ANSWER, ECHO, ESTABLISH, PROVE, REFUSE, RESUME, THIRD, Handshake, LocalParameters
from .reliability.hello_timer import HelloTimer
from .reliability.liveness import Liveness
from .reliability.pacing import SLICE
from .reliability.scheduler import Scheduler, Trace
from .reliability.session import Session
from .reliability.transmit_queue import TransmitQueue

__all__ = ["Counters", "Link", "Trace"]


class Link:
    """One end of a link.

    :param local: what we say of ourselves.
    :param tokens: gives eight fresh random base64url digits each time.
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
        self._events: list[Event] = []

    @property
    def trace(self) -> Trace | None:
        """Who is told of each frame; and of each text in a compressed record, as a frame without a kind or a length."""
        return self._scheduler.trace

    @trace.setter
    def trace(self, trace: Trace | None) -> None:
        self._scheduler.trace = trace
        self._watch_texts()

    def _watch_texts(self) -> None:
        if self.session is not None:
            self.session.mux.watch = None if self._scheduler.trace is None else self._said

    def _said(self, way: str, channel: int, text: bytes) -> None:
        trace = self._scheduler.trace
        if trace is not None:
            trace(way, b"", b"%d: %b" % (channel, text), 0)

    # -- state for the user -------------------------------------------------------------------------------------------

    @property
    def mux(self) -> Mux:
        """The channels of the standing session.

        :raises RuntimeError: there is none; ask ``link.session`` first.
        """
        if self.session is None:
            raise RuntimeError("no session stands")
        return self.session.mux

    @property
    def local(self) -> LocalParameters:
        """What we say of ourselves."""
        return self.handshake.local

    @property
    def quiet(self) -> bool:
        """The session that stands has no line on which its peer is heard."""
        return self._liveness.quiet

    @property
    def heard_at(self) -> float:
        """When the last frame of a session came, seconds; minus infinity before the first."""
        return self._liveness.heard_at

    @property
    def repaired(self) -> int:
        """Frames that came on this line with one wrong bit, which was put right."""
        return self._line.decoder.repaired if self._line is not None else 0

    @property
    def has_line(self) -> bool:
        return self._line is not None

    # -- the line comes and goes --------------------------------------------------------------------------------------

    def line_up(
        self,
        now: float,
        *,
        byte_rate: float | None = None,
        shared: bool = False,
        baud: int = 0,
        rates: tuple[int, ...] = (),
    ) -> None:
        """There is a line.

        :param byte_rate: bytes a second that it carries, None where it has no rate.
        :param shared: others may speak on it: a listener keeps its silence.
        :param baud: bits a second, where the port can be set to other ``rates`` (:mod:`linesync.wire.autobaud.controller`).
        """
        self._leave_line(now)  # another one may take the place of one that nobody has seen going
        local = self.local
        clean = "p" in local.flags
        # With its escapes, or in base64 after all, a frame may be longer than announced.
        longer = 3 if "q" in local.flags and clean else 2 if "m" in local.flags else 1
        longest = local.frame * longer + (64 if longer > 1 else 0)
        patience = limits.PIPE_PATIENCE if clean else limits.FRAME_PATIENCE
        self._line = LineState(
            shared=shared,
            byte_rate=byte_rate,
            baud=baud,
            rates=rates,
            decoder=Decoder(longest=longest, eight=clean, patience=patience),
            counters=self.counters,
        )
        self.handshake.announce("r", self._line.autobaud is not None)
        self._hello_timer.hellos.clear()
        self._hello_timer.begin(now)
        if self.session is not None:
            self.session.line_changed()
            self._start_autobaud(self.session.peer, now)
            self._line.lost(now)  # until it is heard on this line
        self._set_seeds()

    def line_down(self, now: float) -> list[Event]:
        """The line is gone. The session stays."""
        self._leave_line(now)
        return self._take_events(now)

    def _leave_line(self, now: float) -> None:
        """What is half read or half sent on the line, or in flight, is lost with it."""
        if self._line is not None:
            for event in self._line.decoder.receive_eof():
                self._dispatch(event, now)
            self._events += self._line.console.flush()
            self._line = None
            self._transmit_queue.drop()
            self._hello_timer.due = None
            if self.session is not None:
                self.session.line_gone()
                if not self._liveness.quiet:
                    self._events.append(self._liveness.fall_quiet(now))

    def close(self, reason: str) -> None:
        """Say goodbye. Send what :meth:`data_to_send` then gives, and close the line."""
        if self.session is not None:
            self._scheduler.queue_goodbye(reason)

    # -- receiving ----------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> list[Event]:
        """Take bytes from the line."""
        line = self._line
        if line is not None:
            self.counters.bytes_in += len(data)
            for event in line.decoder.receive(data, now):
                self._dispatch(event, now)
            if line.autobaud is not None and line is self._line:
                line.bytes_received(bytes(data), fruitless=self._liveness.valid_at != now, now=now)
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
        self._events += self.session.receive(found, self._line.pacer, now)
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
        """Nobody knows the session that this hello (of :class:`ResumeAsked`) wants back: offer it a new one."""
        self._hello(hello, 0, now, adopt=True)

    def _hello(self, hello: Hello, length: int, now: float, *, adopt: bool) -> None:
        alive = self.session is not None and self._liveness.alive(now)
        action = self.handshake.received(hello, now, alive=alive, adopt=adopt)
        if action == ECHO:
            self.counters.echo += length
            return
        if action == THIRD:
            self.counters.third += 1
            self._events.append(OtherStationHeard(hello))
            return
        if action == REFUSE:
            self._events.append(Refused(self.handshake.refusal(hello)))
            if not hello.peer:
                self._hello_timer.answer(hello)  # so that the other side can say the same
            return
        if action == RESUME:
            self._events.append(ResumeAsked(hello))
        elif action == ANSWER:
            self._hello_timer.answer(hello)
            self._set_seeds()
        elif action == ESTABLISH:
            self._establish(now)
        elif action == PROVE:
            self._heard(now)
            if self.session is not None:
                self.session.peer_asks()
                self.session.round_trip.backoff = 0
                self.session.ask()  # it had lost us, so that what was in flight may be lost as well

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
            self._events += old.mux.close_all(reason)
            self._events.append(Restarted(old.peer.boot, peer.boot))
        seeds = (self.handshake.outbound_seeds()[0], self.handshake.inbound_seeds()[0])
        rate = self._line.pacer.rate if self._line is not None else None
        self.session = Session(local=self.local, nonce=self.handshake.nonce, peer=peer, seeds=seeds, rate=rate, now=now)
        self._watch_texts()
        self._drop_unsaid()
        self._transmit_queue.nest = self.session.nest
        self._liveness.quiet = False
        self._heard(now)
        self._events.append(SessionUp(peer))
        self.session.ask()  # proves us to the peer, and measures the round trip
        self._start_autobaud(peer, now)

    def _end_session(self, reason: str, now: float) -> None:
        session, self.session = self.session, None
        if session is None:
            return
        self._events += session.mux.close_all(reason)
        self._events.append(SessionEnded(reason))
        self.handshake.end()
        self._drop_unsaid()
        if self._line is not None:
            self._line.lost(now)
            self._hello_timer.begin(now + limits.CALL_SLOW)

    def _drop_unsaid(self) -> None:
        """Another state of the handshake: what waits to be said, or is half said, belongs to the one before."""
        self._scheduler.bye = None
        self._transmit_queue.drop()
        self._hello_timer.hellos.clear()
        self._set_seeds()

    # -- sending ------------------------------------------------------------------------------------------------------

    def data_to_send(self, now: float) -> bytes:
        """Bytes to hand to the line now; empty when there are none, or the line is busy enough."""
        line = self._line
        if line is None or not self._liveness.may_speak(line, now):
            return b""
        budget = line.pacer.budget(now)
        if budget <= 0:
            return b""
        if line.pacer.rate is None and self._only_prompt_data(line, now):
            return self._prompt_data(now)
        self._scheduler.prepare(line, self.session, now)
        data = self._transmit_queue.take(budget)
        if data:
            line.pacer.sent(len(data), now)
            self.counters.bytes_out += len(data)
            self._liveness.spoke_at = now
        return data

    def _only_prompt_data(self, line: LineState, now: float) -> bool:
        """On a pipe, nothing but prompt data can be due: :meth:`_plain_data` does then what the outbox would, at a third
        of the cost. Small operations are nearly all that a hub's sockets carry."""
        session, scheduler = self.session, self._scheduler
        if session is None or self._liveness.quiet or scheduler.trace is not None:
            return False
        if (
            self._hello_timer.hellos
            or self._transmit_queue.half_sent
            or scheduler.bye is not None
            or scheduler.parting is not None
        ):
            return False
        return now < self._liveness.spoke_at + limits.KEEPALIVE_PIPE and not line.shared and session.prompt_alone(now)

    def _prompt_data(self, now: float) -> bytes:
        """All prompt data that waits."""
        session, out, size = self.session, [], 0
        assert session is not None
        mux = session.mux
        while size < SLICE and mux.wants(Lane.PROMPT):
            frame = session.next_prompt(now)
            if frame is None:
                break
            out.append(frame)
            size += len(frame)
        if not out:
            return b""
        self.counters.frames_out += len(out)
        self.counters.bytes_out += size
        self._liveness.spoke_at = now
        return out[0] if len(out) == 1 else b"".join(out)

    # -- time ---------------------------------------------------------------------------------------------------------

    def next_timer(self, now: float) -> float | None:
        """When :meth:`handle_timer` and then :meth:`data_to_send` want to be called; None: not before data comes."""
        line = self._line
        if line is None:
            return None
        session, life = self.session, self._liveness
        times = [line.decoder.next_timer(), line.console.next_timer(), self._hello_timer.due]
        if line.autobaud is not None:
            times += (line.autobaud.next_timer(), line.port_free_at(self._transmit_queue.half_sent))
        speaks = life.may_speak(line, now)
        if session is not None and not life.quiet and not line.silent:
            since = session.unanswered_since
            times += (life.quiet_at(line, since), life.ask_at(line, since))
            if speaks:
                times += (session.next_timer(now), max(life.keepalive_at(line), line.pacer.next_time(now)))
        if speaks and self.has_work(now):
            times.append(line.pacer.next_time(now))
        return min((time for time in times if time is not None), default=None)

    def has_work(self, now: float) -> bool:
        """Something waits to be sent, as far as the line takes it."""
        session, line, scheduler = self.session, self._line, self._scheduler
        autobaud = line.autobaud if line is not None else None
        if autobaud is not None:
            if session is not None and autobaud.has_frame:
                return True
            if autobaud.silent:
                return self._transmit_queue.half_sent or scheduler.parting is not None
        if (
            self._hello_timer.hellos
            or self._transmit_queue.half_sent
            or scheduler.bye is not None
            or scheduler.parting is not None
        ):
            return True
        if session is None or line is None:
            return False
        return session.poll_wanted if self._liveness.quiet else session.has_work(now, line.pacer)

    def handle_timer(self, now: float) -> list[Event]:
        """Do what is due."""
        line = self._line
        if line is None:
            return self._take_events(now)
        for event in line.decoder.handle_timer(now):
            self._dispatch(event, now)
            if isinstance(event, Damaged):
                self._broke_off(now)
        self._events += line.console.handle_timer(now)
        if line.autobaud is not None:
            line.autobaud.handle_timer(now)
            self._apply_autobaud(line, now)
        session, life = self.session, self._liveness
        if session is not None and not life.quiet and not line.silent:
            quiet_at = life.quiet_at(line, session.unanswered_since)
            ask_at = life.ask_at(line, session.unanswered_since)
            if quiet_at is not None and now >= quiet_at:
                self._become_quiet(line, now)
            elif ask_at is not None and now >= ask_at:
                session.ask()
                session.unanswered_since = now
        self._hello_timer.handle_timer(now, again=session is not None)
        if session is not None and not life.quiet:
            session.handle_timer(now)
        return self._take_events(now)

    def _broke_off(self, now: float) -> None:
        """The peer stopped in the middle of a frame: perhaps the line did, and a listener may be silent soon."""
        if self.session is not None and self.local.role == "c" and not self._liveness.quiet:
            self.session.ask()
            self.session.unanswered_since = self.session.unanswered_since or now

    def _become_quiet(self, line: LineState, now: float) -> None:
        """The line is there, but the peer of the standing session is not heard on it."""
        self._events.append(self._liveness.fall_quiet(now))
        self._transmit_queue.drop()
        if self.session is not None:
            self.session.line_gone()
        self._hello_timer.begin(now)
        line.lost(now)

    # -- the line's rate ----------------------------------------------------------------------------------------------

    @property
    def baud(self) -> int | None:
        """The rate that stands, bits a second; None on a line that keeps the one it began with."""
        autobaud = self._line.autobaud if self._line is not None else None
        return autobaud.standing if autobaud is not None else None

    def rate_changed(self, baud: int, now: float) -> list[Event]:
        """The port is set to this rate; it is the old one if it did not take what :class:`RateWanted` said."""
        line = self._line
        if line is not None and line.autobaud is not None:
            for event in line.pace_by(baud, now):
                self._dispatch(event, now)
            line.autobaud.changed(baud, now)
            self._apply_autobaud(line, now)
        return self._take_events(now)

    def _start_autobaud(self, peer: Hello, now: float) -> None:
        """A session stands on the line that we have."""
        if self._line is not None and self._line.autobaud is not None:
            leads = self.handshake.leads(peer)
            self._line.autobaud.session_up(leads=leads, able="r" in peer.flags, now=now)

    def _apply_autobaud(self, line: LineState, now: float) -> None:
        """Do what the climbing wants of us."""
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
            session.unanswered_since = None  # it cannot answer either
        self._events += line.rate_events(self._transmit_queue.half_sent, now)
