"""The scheduler: chooses the next frame for the transmit queue, in this order:

1. The goodbye of a session that is over, because its peer does not know this yet.
2. Rate frames. While a rate is on trial, only rate frames are sent.
3. Hellos, then the goodbye of the standing session.
4. The frames of the session. While the line is quiet, only a poll is sent.
5. A keepalive, if nothing was sent for a long time.
"""

from __future__ import annotations

from collections.abc import Callable

from ... import limits
from ..framing import frames
from ..framing.frames import Lane
from ..framing.payload import encode_base64
from ..line import Counters, LineState
from .hello_timer import HelloTimer
from .liveness import Liveness
from .pacing import SLICE
from .session import Session
from .transmit_queue import OutgoingFrame

__all__ = ["Scheduler", "Trace"]

_REASON = 60  # the maximum size of the reason in a goodbye, in bytes

Trace = Callable[[str, bytes, bytes, int], None]
"""Called for each frame with the direction (``in`` or ``out``), the kind, the body, and the length on the line in bytes."""


def _outgoing(kind: bytes, body: bytes, seed: int) -> OutgoingFrame:
    return OutgoingFrame(frames.encode(kind, body, seed), kind)


class Scheduler:
    """The source of frames for a :class:`~linesync.wire.reliability.transmit_queue.TransmitQueue`. The caller calls
    :meth:`prepare` before each use of the queue.

    :param hello_timer: has the hellos that wait to be sent.
    :param liveness: has the time of the next keepalive.
    """

    __slots__ = (
        "_counters",
        "_departs",
        "_hello_timer",
        "_line",
        "_liveness",
        "_now",
        "_session",
        "bye",
        "departing",
        "parting",
        "trace",
    )

    def __init__(self, hello_timer: HelloTimer, liveness: Liveness, counters: Counters) -> None:
        self._hello_timer = hello_timer
        self._liveness = liveness
        self._counters = counters
        self.trace: Trace | None = None
        self.bye: bytes | None = None
        """The body of the goodbye of the standing session, which waits to be sent; or None."""
        self.departing = False
        """Whether the goodbye of the standing session is not completely sent yet."""
        self.parting: OutgoingFrame | None = None
        """The goodbye of a session that is already over, which waits to be sent; or None."""
        self._line: LineState | None = None
        self._session: Session | None = None
        self._now = 0.0
        self._departs = 0.0

    def queue_goodbye(self, reason: str) -> None:
        """Queue a goodbye, which ends the standing session."""
        self.departing = True
        self.bye = encode_base64(reason.encode("utf-8", "replace")[:_REASON])

    def queue_parting(self, session: Session, reason: str) -> None:
        """Queue a goodbye for the peer of a session that is already over."""
        self.parting = _outgoing(frames.BYE, encode_base64(reason.encode()[:_REASON]), session.seed_out)

    @property
    def has_greeting(self) -> bool:
        """Whether a hello or a goodbye waits to be sent."""
        return bool(self._hello_timer.hellos) or self.bye is not None or self.parting is not None

    def has_work(self, line: LineState | None, session: Session | None, half_sent: bool, now: float) -> bool:
        """Something waits to be sent as soon as the line accepts it.

        :param half_sent: the transmit queue has a frame of which the line has accepted only a part.
        """
        autobaud = line.autobaud if line is not None else None
        if autobaud is not None:
            if session is not None and autobaud.has_frame:
                return True
            if autobaud.silent:
                return half_sent or self.parting is not None
        if half_sent or self.has_greeting:
            return True
        if session is None or line is None:
            return False
        return session.polls.wanted if self._liveness.quiet else session.has_work(now, line.pacer)

    def only_prompt_data(self, line: LineState, session: Session, half_sent: bool, now: float) -> bool:
        """On a pipe, only prompt data can be due. Then :meth:`take_prompt_data` does the work of the transmit queue at a
        third of the cost. Small operations are nearly all that the sockets of a hub carry."""
        if line.pacer.rate is not None or self._liveness.quiet or self.trace is not None:
            return False
        if half_sent or self.has_greeting:
            return False
        return now < self._liveness.spoke_at + limits.KEEPALIVE_PIPE and not line.shared and session.prompt_alone(now)

    def prepare(self, line: LineState, session: Session | None, now: float) -> None:
        """Set the line and the session for the next calls of :meth:`next_control` and :meth:`next_bulk`."""
        self._line, self._session, self._now = line, session, now
        self._departs = max(line.pacer.busy_until, now)

    def next_control(self, inside: bool) -> OutgoingFrame | None:
        """The next control frame (a frame that does not wait for bulk frames), or None.

        :param inside: whether it will be inside a bulk frame.
        """
        line, session, now = self._line, self._session, self._now
        if line is None:
            return None
        if self.parting is not None:
            parting, self.parting = self.parting, None
            return parting
        autobaud = line.autobaud
        if autobaud is not None:
            silent = autobaud.silent
            body = autobaud.next_frame() if session is not None and not (inside and silent) else None
            if body is not None and session is not None:
                return _outgoing(frames.RATE, body, session.seed_out)
            if silent:
                return None
        if self._hello_timer.hellos:
            return _outgoing(frames.HELLO, self._hello_timer.hellos.pop(0).body(), 0)
        if session is None:
            return None
        if self.bye is not None:
            bye, self.bye = self.bye, None
            return _outgoing(frames.BYE, bye, session.seed_out)
        if self._liveness.quiet:
            return session.next_poll(now)
        frame = session.next_control(inside, now, self._departs)
        if frame is None and not inside and now >= self._liveness.keepalive_at(line):
            self._liveness.spoke_at = now
            frame = _outgoing(frames.KEEP, b"", session.seed_out)
        return frame

    def next_bulk(self, inside: bool) -> OutgoingFrame | None:
        """The next bulk frame, or None. It is never inside another frame."""
        line, session = self._line, self._session
        if line is None or session is None or self._liveness.quiet or line.silent:
            return None
        return session.next_bulk(self._now, line.pacer)

    def transmitted(self, outgoing: OutgoingFrame, given: int) -> None:
        """Handle the complete transmission of a frame.

        :param given: the number of bytes that were handed over since :meth:`prepare`, up to the last byte of this frame.
        """
        line, session = self._line, self._session
        self._counters.frames_out += 1
        if outgoing.kind == frames.BYE:
            self.departing = False
        rate = line.pacer.rate if line is not None else None
        leaves_at = self._departs + given / rate if rate else self._now
        if session is not None:
            session.transmitted(outgoing, leaves_at)
        if outgoing.kind == frames.RATE and line is not None and line.autobaud is not None:
            line.autobaud.sent(outgoing.body, leaves_at)
        if self.trace is not None:
            self.trace("out", outgoing.kind, outgoing.body, len(outgoing.data))

    def take_prompt_data(self, session: Session, now: float) -> bytes:
        """Take all waiting prompt data, as bytes for the line. The caller checks :meth:`Session.prompt_alone` before."""
        out: list[bytes] = []
        size = 0
        mux = session.mux
        while size < SLICE and mux.wants(Lane.PROMPT):
            frame = session.next_prompt(now)
            if frame is None:
                break
            out.append(frame)
            size += len(frame)
        self._counters.frames_out += len(out)
        return out[0] if len(out) == 1 else b"".join(out)
