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
from . import frames
from .decoder import Decoder
from .digits import read_counted
from .events import (
    Damaged,
    Echo,
    Event,
    ForeignText,
    FrameFound,
    LineBack,
    LineQuiet,
    Noise,
    Refused,
    Restarted,
    ResumeAsked,
    SessionEnded,
    SessionUp,
    ThirdTalker,
)
from .frames import Hello, Lane
from .handshake import ANSWER, ECHO, ESTABLISH, PROVE, REFUSE, RESUME, THIRD, Handshake, Local
from .line import Counters, LineState
from .mux import Mux
from .outbox import Outbox, Outgoing
from .pacing import SLICE
from .payload import decode_base64, encode_base64
from .session import Session

__all__ = ["Counters", "Link"]


Trace = Callable[[str, bytes, bytes, int], None]
"""Called with (``in`` or ``out``, kind, body, length on the line) for each frame."""


class Link:
    """One end of a link.

    :param local: what we say of ourselves.
    :param tokens: gives eight fresh random base64url digits each time.
    """

    def __init__(self, local: Local, tokens: Callable[[], str]) -> None:
        self.local = local
        self.handshake = Handshake(local, tokens)
        self.session: Session | None = None
        self.counters = Counters()
        self.quiet = False
        self._trace: Trace | None = None
        self._line: LineState | None = None
        self._outbox = Outbox(self._next_control, self._next_bulk, self._transmitted)
        self._hellos: list[Hello] = []
        self._call_at: float | None = None
        self._calls = 0
        self._heard_at = float("-inf")
        self._valid_at = float("-inf")  # the same, frames of other sessions included
        self._spoke_at = float("-inf")
        self._bye: bytes | None = None
        self._parting: Outgoing | None = None  # the goodbye of a session that is over already
        self._now = 0.0
        self._departs = 0.0
        self._events: list[Event] = []

    @property
    def trace(self) -> Trace | None:
        """Who is told of each frame; and of each text in a compressed record, as a frame without a kind or a length."""
        return self._trace

    @trace.setter
    def trace(self, trace: Trace | None) -> None:
        self._trace = trace
        self._watch_texts()

    def _watch_texts(self) -> None:
        if self.session is not None:
            self.session.mux.watch = None if self._trace is None else self._said

    def _said(self, way: str, channel: int, text: bytes) -> None:
        if self._trace is not None:
            self._trace(way, b"", b"%d: %b" % (channel, text), 0)

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
    def heard_at(self) -> float:
        """When the last valid frame came, seconds; minus infinity before the first."""
        return self._heard_at

    @property
    def mended(self) -> int:
        """Frames that came on this line with one wrong bit, which was put right."""
        return self._line.decoder.mended if self._line is not None else 0

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
        :param baud: bits a second, where the port can be set to other ``rates`` (:mod:`linesync.wire.climbing`).
        """
        self._leave_line(now)  # another one may take the place of one that nobody has seen going
        clean = "p" in self.local.flags
        # With its escapes, or in base64 after all, a frame may be longer than announced.
        longer = ("e" in self.local.flags and clean) or "m" in self.local.flags
        longest = self.local.frame * 2 + 64 if longer else self.local.frame
        decoder = Decoder(longest=longest, eight=clean)
        self._line = LineState(shared=shared, byte_rate=byte_rate, baud=baud, rates=rates, decoder=decoder)
        self._announce("r", self._line.climbing is not None)
        self._hellos.clear()
        self._calls = 0
        self._call_at = now if self.local.role == "c" else None
        if self.session is not None:
            self.session.line_changed()
            self._climb_with(self.session.peer, now)
            self._line.lost(now)  # until it is heard on this line
        self._set_seeds()

    def _announce(self, flag: str, on: bool) -> None:
        """Say in our hellos from now on that we do something, or that we do not."""
        flags = self.local.flags.replace(flag, "") + (flag if on else "")
        if flags != self.local.flags:
            local = self.local
            self.local = Local(role=local.role, boot=local.boot, frame=local.frame, credit=local.credit, flags=flags)
            self.handshake.local = self.local

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
            self._outbox.drop()
            self._call_at = None
            if self.session is not None:
                self.session.line_gone()
                if not self.quiet:
                    self.quiet = True
                    self._events.append(LineQuiet(max(now - self._heard_at, 0.0)))

    def close(self, reason: str) -> None:
        """Say goodbye. Send what :meth:`data_to_send` then gives, and close the line."""
        if self.session is not None:
            self._bye = encode_base64(reason.encode("utf-8", "replace")[:60])

    # -- receiving ----------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> list[Event]:
        """Take bytes from the line."""
        line = self._line
        if line is not None:
            self.counters.bytes_in += len(data)
            for event in line.decoder.receive(data, now):
                self._dispatch(event, now)
            if line.climbing is not None and line is self._line:
                line.bytes_came(bytes(data), self.counters, fruitless=self._valid_at != now, now=now)
                self._climb(line, now)
        return self._take_events(now)

    def _take_events(self, now: float) -> list[Event]:
        if self.session is not None:
            self._events += self.session.mux.events
            self.session.mux.events = []
            if self.session.broken:
                reason = encode_base64(self.session.broken.encode()[:60])
                self._parting = self._outgoing(frames.BYE, reason, self.session.seed_out)
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
            if self._line.climbing is not None and self._line.climbing.on_trial:
                self.counters.noise += len(event.data)  # the two ends may have different rates at this moment
                return
            if isinstance(event, ForeignText) and self._line.is_garbage(event.data):
                event = Damaged(event.data)
            self.counters.damaged += isinstance(event, Damaged)
            if self._line.shared:
                self._events += self._line.console.sort(event, now)
            elif isinstance(event, ForeignText):
                self._events.append(event)
            else:
                self._events.append(Noise(event.data))
        elif isinstance(event, Echo):
            self.counters.echo += event.length

    def _frame(self, found: FrameFound, now: float) -> None:
        frame = found.frame
        self.counters.frames_in += 1
        self._valid_at = now
        if self._trace is not None:
            self._trace("in", frame.kind, frame.body, found.length)
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
        if self._line.climbing is not None:
            self._line.frame_came(frame, self.session.round_trip.smoothed, self.local.frame, now)
            self._climb(self._line, now)
        self.session.line_alters = self._line.decoder.altered
        self._events += self.session.receive(found, self._line.pacer, now)
        if self.session.as_they_come is not None:
            self._line.decoder.read_as_they_come(self.session.as_they_come)
        if frame.kind in frames.DATA_KINDS and self._line.console.holds:
            text = frames.encode(frame.kind, frame.body, 0)[1 : -limits.CHECK_SIZE - 1]
            self._events += self._line.console.good_copy(text)

    def _heard(self, now: float) -> None:
        self._heard_at = now
        self._call_at = None
        self._calls = 0
        if self.quiet:
            self.quiet = False
            self._events.append(LineBack())
            if self.session is not None:
                self.session.round_trip.backoff = 0
                self.session.ask()

    # -- the handshake ------------------------------------------------------------------------------------------------

    def start_anew(self, hello: Hello, now: float) -> None:
        """Nobody knows the session that this hello (of :class:`ResumeAsked`) wants back: offer it a new one."""
        self._hello(hello, 0, now, adopt=True)

    def _hello(self, hello: Hello, length: int, now: float, *, adopt: bool) -> None:
        alive = self.session is not None and now - self._heard_at < limits.SILENCE and not self.quiet
        action = self.handshake.received(hello, now, alive=alive, adopt=adopt)
        if action == ECHO:
            self.counters.echo += length
            return
        if action == THIRD:
            self.counters.third += 1
            self._events.append(ThirdTalker(hello))
            return
        if action == REFUSE:
            self._events.append(Refused(self.handshake.refusal(hello)))
            if not hello.peer:
                self._answer(hello)  # so that the other side can say the same
            return
        if action == RESUME:
            self._events.append(ResumeAsked(hello))
        elif action == ANSWER:
            self._answer(hello)
            self._set_seeds()
        elif action == ESTABLISH:
            self._establish(now)
        elif action == PROVE:
            self._heard(now)
            if self.session is not None:
                self.session.peer_asks()
                self.session.round_trip.backoff = 0
                self.session.ask()  # it had lost us, so that what was in flight may be lost as well

    def _answer(self, hello: Hello) -> None:
        if len(self._hellos) < 2:
            self._hellos.append(self.handshake.hello(hello))

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
        self._outbox.drop()
        self._outbox.nest = self.session.nest
        self._hellos.clear()
        self._set_seeds()
        self.quiet = False
        self._heard(now)
        self._bye = None
        self._events.append(SessionUp(peer))
        self.session.ask()  # proves us to the peer, and measures the round trip
        self._climb_with(peer, now)

    def _end_session(self, reason: str, now: float) -> None:
        session, self.session = self.session, None
        if session is None:
            return
        self._events += session.mux.close_all(reason)
        self._events.append(SessionEnded(reason))
        self.handshake.end()
        self._bye = None
        self._outbox.drop()
        self._hellos.clear()
        self._set_seeds()
        if self._line is not None:
            self._line.lost(now)
        if self._line is not None and self.local.role == "c":
            self._calls = 0
            self._call_at = now + limits.CALL_SLOW

    # -- sending ------------------------------------------------------------------------------------------------------

    def may_speak(self, now: float) -> bool:
        """A caller always may; a listener on a shared line only while somebody there speaks the protocol."""
        line = self._line
        if line is None:
            return False
        return self.local.role == "c" or not line.shared or now - self._valid_at < line.patience(limits.SILENCE)

    def data_to_send(self, now: float) -> bytes:
        """Bytes to hand to the line now; empty when there are none, or the line is busy enough."""
        line = self._line
        if line is None or not self.may_speak(now):
            return b""
        budget = line.pacer.budget(now)
        if budget <= 0:
            return b""
        self._now = now
        self._departs = max(line.pacer.busy_until, now)
        if line.pacer.rate is None and self._plain(line, now):
            return self._plain_data(now)
        data = self._outbox.take(budget)
        if data:
            line.pacer.sent(len(data), now)
            self.counters.bytes_out += len(data)
            self._spoke_at = now
        return data

    def _plain(self, line: LineState, now: float) -> bool:
        """On a pipe, nothing but prompt data can be due: :meth:`_plain_data` does then what the outbox would, at a third
        of the cost. Small operations are nearly all that a hub's sockets carry."""
        session = self.session
        if session is None or self.quiet or self._trace is not None:
            return False
        if self._hellos or self._outbox.half_sent or self._bye is not None or self._parting is not None:
            return False
        return now < self._spoke_at + limits.KEEPALIVE_PIPE and not line.shared and session.prompt_alone(now)

    def _plain_data(self, now: float) -> bytes:
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
        self._spoke_at = now
        return out[0] if len(out) == 1 else b"".join(out)

    def _next_control(self, inside: bool) -> Outgoing | None:
        now = self._now
        if self._parting is not None:
            parting, self._parting = self._parting, None
            return parting
        climbing = self._line.climbing if self._line is not None else None
        if climbing is not None and self.session is not None:
            body = None if inside and climbing.hushed else climbing.next_frame()
            if body is not None:
                return self._outgoing(frames.RATE, body, self.session.seed_out)
        if climbing is not None and climbing.hushed:
            return None
        if self._hellos:
            return self._outgoing(frames.HELLO, self._hellos.pop(0).body(), 0)
        session = self.session
        if session is None:
            return None
        if self._bye is not None:
            bye, self._bye = self._bye, None
            return self._outgoing(frames.BYE, bye, session.seed_out)
        if self.quiet:
            return session.next_poll()
        frame = session.next_control(inside, now, self._departs)
        if frame is None and not inside and now >= self._keepalive_at():
            self._spoke_at = now
            frame = self._outgoing(frames.KEEP, b"", session.seed_out)
        return frame

    def _next_bulk(self, inside: bool) -> Outgoing | None:
        if self.session is None or self.quiet or self._line is None:
            return None
        if self._line.hushed:
            return None
        return self.session.next_bulk(self._now, self._line.pacer)

    @staticmethod
    def _outgoing(kind: bytes, body: bytes, seed: int) -> Outgoing:
        return Outgoing(frames.encode(kind, body, seed), kind)

    def _transmitted(self, outgoing: Outgoing, given: int) -> None:
        self.counters.frames_out += 1
        rate = self._line.pacer.rate if self._line is not None else None
        leaves_at = self._departs + given / rate if rate else self._now
        if self.session is not None:
            self.session.transmitted(outgoing, leaves_at)
        if outgoing.kind == frames.RATE and self._line is not None and self._line.climbing is not None:
            length, at = read_counted(outgoing.data, 2)
            self._line.climbing.sent(outgoing.data[at : at + length], leaves_at)
        if self._trace is not None:
            length, at = read_counted(outgoing.data, 2)
            self._trace("out", outgoing.kind, outgoing.data[at : at + length], len(outgoing.data))

    # -- time ---------------------------------------------------------------------------------------------------------

    def _keepalive_at(self) -> float:
        assert self._line is not None
        if not self._line.shared:
            return self._spoke_at + limits.KEEPALIVE_PIPE
        caller = self.local.role == "c"
        return self._spoke_at + (limits.KEEPALIVE_CALLER if caller else limits.KEEPALIVE_LISTENER)

    def _quiet_at(self) -> float | None:
        """When the line counts as quiet, None while that cannot be said."""
        session, line = self.session, self._line
        if session is None or line is None or self.quiet or line.hushed:
            return None
        if self.local.role == "l" and line.shared:
            return self._heard_at + line.patience(limits.QUIET_LISTENER)
        if session.unanswered_since is None:
            return None
        return session.unanswered_since + line.patience(limits.QUIET_AFTER if line.shared else limits.QUIET_AFTER_PIPE)

    def _idle_poll_at(self) -> float | None:
        """When a caller that heard nothing asks; None where somebody asked already."""
        session, line = self.session, self._line
        if session is None or line is None or self.quiet or session.unanswered_since is not None:
            return None
        if line.hushed:
            return None
        if self.local.role == "l" and line.shared:
            return None
        return self._heard_at + (limits.POLL_IDLE if line.shared else 2 * limits.KEEPALIVE_PIPE)

    def next_timer(self, now: float) -> float | None:
        """When :meth:`handle_timer` and then :meth:`data_to_send` want to be called; None: not before data comes."""
        line = self._line
        if line is None:
            return None
        times = [line.decoder.next_timer(), line.console.next_timer(), self._call_at, self._quiet_at()]
        times.append(self._idle_poll_at())
        if line.climbing is not None:
            times += (line.climbing.next_timer(), line.port_free_at(self._outbox.half_sent))
        if self.may_speak(now):
            if self.session is not None and not self.quiet and not line.hushed:
                times += (self.session.next_timer(now), max(self._keepalive_at(), line.pacer.next_time(now)))
            if self.has_work(now):
                times.append(line.pacer.next_time(now))
        return min((time for time in times if time is not None), default=None)

    def has_work(self, now: float) -> bool:
        """Something waits to be sent, as far as the line takes it."""
        climbing = self._line.climbing if self._line is not None else None
        if climbing is not None:
            if self.session is not None and climbing.has_frame:
                return True
            if climbing.hushed:
                return self._outbox.half_sent or self._parting is not None
        if self._hellos or self._outbox.half_sent or self._bye is not None or self._parting is not None:
            return True
        session, line = self.session, self._line
        if session is None or line is None:
            return False
        return session.poll_wanted if self.quiet else session.has_work(now, line.pacer)

    def handle_timer(self, now: float) -> list[Event]:
        """Do what is due."""
        line = self._line
        if line is None:
            return self._take_events(now)
        for event in line.decoder.handle_timer(now):
            self._dispatch(event, now)
            if isinstance(event, Damaged) and self.session is not None and self.local.role == "c" and not self.quiet:
                # The peer broke off in the middle of a frame: perhaps the line did, and a listener may be silent soon.
                self.session.ask()
                self.session.unanswered_since = self.session.unanswered_since or now
        self._events += line.console.handle_timer(now)
        if line.climbing is not None:
            line.climbing.handle_timer(now)
            self._climb(line, now)
        quiet_at, idle_at = self._quiet_at(), self._idle_poll_at()
        if quiet_at is not None and now >= quiet_at:
            self._become_quiet(now)
        elif idle_at is not None and now >= idle_at and self.session is not None:
            self.session.ask()
            self.session.unanswered_since = now
        if self._call_at is not None and now >= self._call_at:
            self._call(now)
        if self.session is not None and not self.quiet:
            self.session.handle_timer(now)
        return self._take_events(now)

    def _become_quiet(self, now: float) -> None:
        self.quiet = True
        self._events.append(LineQuiet(now - self._heard_at))
        self._outbox.drop()
        if self.session is not None:
            self.session.line_gone()
        if self.local.role == "c":
            self._calls = 0
            self._call_at = now
        if self._line is not None:
            self._line.lost(now)

    # -- the line's rate ----------------------------------------------------------------------------------------------

    @property
    def baud(self) -> int | None:
        """The rate that stands, bits a second; None on a line that keeps the one it began with."""
        climbing = self._line.climbing if self._line is not None else None
        return climbing.standing if climbing is not None else None

    def rate_changed(self, baud: int, now: float) -> list[Event]:
        """The port is set to this rate; it is the old one if it did not take what :class:`RateWanted` said."""
        line = self._line
        if line is not None and line.climbing is not None:
            for event in line.pace_by(baud, now):
                self._dispatch(event, now)
            line.climbing.changed(baud, now)
            self._climb(line, now)
        return self._take_events(now)

    def _climb_with(self, peer: Hello, now: float) -> None:
        """A session stands on the line that we have."""
        if self._line is not None and self._line.climbing is not None:
            mine, theirs = self.local.role, peer.role
            leads = mine == "c" if mine != theirs else self.handshake.nonce > peer.nonce
            self._line.climbing.session_up(leads=leads, able="r" in peer.flags, now=now)

    def _climb(self, line: LineState, now: float) -> None:
        """Do what the climbing wants of us."""
        session, climbing = self.session, line.climbing
        if climbing is None:
            return
        if climbing.fell:
            climbing.fell = False
            if not self.quiet and session is not None:
                self._become_quiet(now)
            else:
                climbing.lost(now)
        if climbing.poll:
            climbing.poll = False
            if session is not None:
                session.ask()
        if climbing.hushed and session is not None:
            session.unanswered_since = None  # it cannot answer either
        self._events += line.news(self._outbox.half_sent, now)

    def _call(self, now: float) -> None:
        """Say hello: at first often, then each second."""
        if not self._hellos:
            self._hellos.append(self.handshake.hello())
        self._calls += 1
        fast = limits.CALL_FAST if self.session is None else limits.CALL_AGAIN
        enough = limits.CALL_FAST * limits.CALL_FAST_COUNT
        self._call_at = now + (fast if round(self._calls * fast, 3) < enough else limits.CALL_SLOW)
