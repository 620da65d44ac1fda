"""Two links on one simulated line, on virtual time.

A :class:`VirtualLine` connects two :class:`~linesync.wire.link.Link` ends by a :class:`~linesync.testing.cable.Cable`. Its
clock jumps from event to event, so it simulates minutes in milliseconds. One seed decides every random choice, so it gives
the same result each time::

    line = VirtualLine(seed=7, byte_rate=11520, faults=Faults(ber=1e-5, printk=2))
    line.run_until(lambda: line.a.up and line.b.up, 5)
    line.a.link.mux.send_message(0, b"hello")
    line.run(1.0)
    assert line.b.messages(0) == [b"hello"], line.transcript()

End ``a`` is the caller and end ``b`` the listener by default.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from typing import Any

from linesync.testing.cable import Cable, End
from linesync.testing.cable_rates import CableRates
from linesync.testing.faults import Faults
from linesync.wire.events import ChannelData, ChannelMessage, Event, ForeignText, Noise, RateWanted, ResumeAsked
from linesync.wire.framing.digits import ALPHABET
from linesync.wire.link import Link
from linesync.wire.reliability.handshake import LocalParameters

__all__ = ["VirtualEnd", "VirtualLine", "tokens"]

_STEPS_MOST = 2000  # the number of steps at one instant above which the links are in an endless loop
_TRANSCRIPT = 4000  # the maximum number of lines of the transcript that are kept


def tokens(rng: random.Random) -> Callable[[], str]:
    """A function that returns random tokens for a :class:`Link`."""
    alphabet = ALPHABET.decode()
    return lambda: "".join(rng.choices(alphabet, k=8))


class VirtualEnd:
    """One end: its link, and the events of the link."""

    def __init__(self, line: VirtualLine, name: End, local: Mapping[str, Any], rng: random.Random) -> None:
        self.name = name
        self.on_event: Callable[[Event], None] | None = None
        """Called with each event, including console text."""
        self.events: list[tuple[float, Event]] = []
        """The events in order, each as (time, event), without console text and noise."""
        self.text = bytearray()
        """The console text so far."""
        self.noise = bytearray()
        """The remains of damaged frames so far."""
        self.ahead = 0
        """The largest number of bytes that were in transit on the line at any time."""
        self.consume = True
        """Whether data and messages are consumed on arrival, so that their credit is granted again."""
        self.owns_all = True
        """Whether this link is the only link of its owner. No other link can then have a session that it does not know."""
        self._line = line
        self._local = dict(local)
        self.takes: tuple[int, ...] = ()
        """The rates that its port supports."""
        self._token = tokens(rng)
        self._connected = False
        self.link = self._new_link()
        self.timer: float | None = None
        self.stale = True

    def _new_link(self) -> Link:
        link = Link(LocalParameters(boot=self._token(), **self._local), self._token)
        link.trace = self._trace
        return link

    @property
    def up(self) -> bool:
        """Whether the link has a session and its line is not quiet."""
        return self.link.session is not None and not self.link.quiet

    def seen(self, kind: type[Event]) -> list[Any]:
        """The events of this kind."""
        return [event for _, event in self.events if isinstance(event, kind)]

    def messages(self, channel: int) -> list[bytes]:
        """The messages that arrived on a channel."""
        return [event.data for event in self.seen(ChannelMessage) if event.channel == channel]

    def data(self, channel: int, stream: int = 0) -> bytes:
        """The bytes that arrived on a stream of a channel."""
        return b"".join(e.data for e in self.seen(ChannelData) if e.channel == channel and e.stream == stream)

    # -- faults of this end -------------------------------------------------------------------------------------------

    def line_up(self) -> None:
        """Open the line."""
        self._connected = True
        line = self._line
        if line.rates is not None:
            line.rates.set(self.name, line.baud, line.now)
        self.link.line_up(line.now, byte_rate=line.nominal, shared=line.shared, baud=line.baud, rates=self.takes)
        self._line.touch()

    def line_down(self) -> None:
        """Lose the line. Arriving bytes are lost, and the link is notified."""
        self._connected = False
        self.take(self.link.line_down(self._line.now))

    def restart(self) -> None:
        """Replace this end by a new process."""
        self._line.log(f"{self.name}  restarts")
        self.link = self._new_link()
        self.line_up()

    # -- driven by the line -------------------------------------------------------------------------------------------

    def flush(self, now: float) -> None:
        """Put the link's bytes on the line."""
        if not self._connected:
            return
        data = self.link.data_to_send(now)
        if data:
            self._line.cable.feed(self.name, data, now)
            self.ahead = max(self.ahead, self._line.cable.line_from(self.name).waiting)

    def receive(self, data: bytes, now: float) -> None:
        if self._connected:
            self.take(self.link.receive_data(data, now))

    def handle_timer(self, now: float) -> None:
        self.take(self.link.handle_timer(now))

    def take(self, events: list[Event]) -> None:
        """Record the events of the link, and pass them to the test."""
        self.stale = True
        line = self._line
        for event in events:
            if isinstance(event, ForeignText):
                self.text += event.data
            elif isinstance(event, Noise):
                self.noise += event.data
            else:
                self.events.append((line.now, event))
                line.log(f"{self.name}  {event!r:.110}")
            if self.consume and isinstance(event, ChannelData | ChannelMessage) and self.link.session:
                self.link.session.mux.consumed(event.channel, event.data)
            if self.on_event is not None:
                self.on_event(event)
                line.touch()
            if isinstance(event, RateWanted):
                line.at(line.now + line.port_time, partial(self._set_port, self.link, event.baud))
            if isinstance(event, ResumeAsked) and self.owns_all:
                self.link.start_new_session(event.hello, line.now)

    def _set_port(self, link: Link, baud: int) -> None:
        """Set the rate of the port, unless another process has replaced the process of this link."""
        if link is self.link and self._connected and self._line.rates is not None:
            baud = baud if baud in self.takes or baud == self._line.baud else int(self._line.rates.baud[self.name])
            self._line.rates.set(self.name, baud, self._line.now)
            self._line.log(f"{self.name}  is at {baud}")
            self.take(link.rate_changed(baud, self._line.now))

    def _trace(self, way: str, kind: bytes, body: bytes, length: int) -> None:
        self._line.log((self.name, way, kind, body, length))


class VirtualLine:
    """Two ends and the cable between them.

    :param seed: decides every random choice.
    :param byte_rate: the cable's real rate in bytes per second; None for a cable without transmission time.
    :param nominal: the rate that the ends assume, in bytes per second; by default the real rate.
    :param faults: the same as for :class:`Cable`; also ``faults_ba`` and ``echo``.
    :param shared: whether the line is shared with other stations, so that the ends follow the rules of silence.
    :param local: fields of :class:`~linesync.wire.reliability.handshake.LocalParameters` for both ends (``frame``,
        ``credit``, ``flags``); ``local_a`` and ``local_b`` are for one end.
    :param takes: the rates that the ports support, in bits per second; ``takes_b`` for end b if its rates differ. The line
        then starts at ten times ``byte_rate``. ``most_baud`` and ``noisy`` are ``most`` and ``noisy`` of :class:`CableRates`.
    :param grain: seconds between two reads at an end, like with a kernel that buffers bytes.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        byte_rate: float | None = 11520.0,
        nominal: float | None = None,
        faults: Faults | None = None,
        faults_ba: Faults | None = None,
        echo: bool = False,
        shared: bool = True,
        local: Mapping[str, Any] | None = None,
        local_a: Mapping[str, Any] | None = None,
        local_b: Mapping[str, Any] | None = None,
        takes: tuple[int, ...] = (),
        takes_b: tuple[int, ...] | None = None,
        most_baud: float | None = None,
        noisy: Mapping[float, float] | None = None,
        grain: float = 0.001,
    ) -> None:
        self.seed = seed
        self.now = 0.0
        self.nominal = byte_rate if nominal is None else nominal
        self.shared = shared
        self.grain = grain
        self.random = random.Random(seed)
        """The random generator for the choices of the test."""
        self.cable = Cable(faults, faults_ba, echo=echo, seed=seed, byte_rate=byte_rate)
        self.baud = int((byte_rate or 0) * 10)
        """The rate of the ports at the start, in bits per second."""
        self.port_time = 0.001
        """The time to set the rate of a port, in seconds."""
        self.rates: CableRates | None = None
        """The rates of the ports; None if they are fixed."""
        if takes:
            self.rates = CableRates(self.cable, baud=self.baud, most=most_baud, noisy=noisy, seed=seed)
        self._log: deque[tuple[float, Any]] = deque(maxlen=_TRANSCRIPT)
        both = {"frame": 2048, "credit": 1 << 16, "flags": "n", **(local or {})}
        self.a = VirtualEnd(self, "a", {"role": "c", **both, **(local_a or {})}, random.Random(f"{seed} a"))
        self.b = VirtualEnd(self, "b", {"role": "l", **both, **(local_b or {})}, random.Random(f"{seed} b"))
        self.a.takes, self.b.takes = takes, takes if takes_b is None else takes_b
        self.ends = (self.a, self.b)
        self._steps_now = 0  # the number of steps at the current instant
        self._last_read = 0.0  # the time at which the ends last read the received bytes
        self._plan: list[tuple[float, int, Callable[[], None]]] = []
        for end in self.ends:
            end.line_up()

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Schedule a call at a time in seconds of the line's clock."""
        self._plan.append((when, len(self._plan), call))
        self._plan.sort(key=lambda step: step[:2])

    def inject(self, to: End, data: bytes) -> None:
        """Insert bytes from another source into the stream to an end, at its current position."""
        line = self.cable.line_to(to)
        line.feed(data, self.now)

    def touch(self) -> None:
        """Examine both ends at the next step, because the test may have changed their state."""
        self.a.stale = self.b.stale = True

    # -- time ---------------------------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let a number of seconds pass."""
        self._run(None, self.now + seconds)

    def run_until(self, predicate: Callable[[], bool], limit: float) -> bool:
        """Let time pass until the predicate is true, at most ``limit`` seconds. Return whether it is true."""
        return self._run(predicate, self.now + limit)

    def establish(self, limit: float = 10.0) -> None:
        """Run until both ends have a session.

        :raises AssertionError: an end has no session after ``limit`` seconds.
        """
        assert self.run_until(lambda: self.a.up and self.b.up, limit), self.transcript()

    def _run(self, predicate: Callable[[], bool] | None, until: float) -> bool:
        self.touch()
        while predicate is None or not predicate():
            if self.now >= until:
                return False
            self._step(until)
        return True

    def _step(self, until: float) -> None:
        now, cable = self.now, self.cable
        when = until
        for end in self.ends:
            if end.stale:
                end.flush(now)
                end.timer = end.link.next_timer(now)
                end.stale = False
            if end.timer is not None and end.timer < when:
                when = end.timer
        arrival = cable.next_time()
        read_at = inf if arrival is None else max(arrival, self._last_read + self.grain)
        when = min(when, read_at)
        if self._plan:
            when = min(when, self._plan[0][0])
        if when <= now:
            when = now
            self._steps_now += 1
            if self._steps_now > _STEPS_MOST:
                raise AssertionError(f"the links are in an endless loop at {now:.6f} s\n{self.transcript()}")
        else:
            self._steps_now = 0
        self.now = when
        while self._plan and self._plan[0][0] <= when:
            self._plan.pop(0)[2]()
            self.touch()
        if read_at <= when:
            self._last_read = when
            for end in self.ends:
                data = cable.take(end.name, when)
                if data:
                    end.receive(data, when)
        for end in self.ends:
            if end.timer is not None and end.timer <= when:
                end.handle_timer(when)

    # -- the transcript -----------------------------------------------------------------------------------------------

    def log(self, entry: object) -> None:
        """Add a line to the transcript."""
        self._log.append((self.now, entry))

    def transcript(self, lines: int = 120) -> str:
        """The seed, and the last frames and events, one on each line.

        :param lines: the maximum number of frames and events.
        """
        out = [f"seed {self.seed}, the last {lines} frames and events of {self.now:.3f} s:"]
        for now, entry in list(self._log)[-lines:]:
            if isinstance(entry, tuple):
                name, way, kind, body, length = entry
                arrow = "->" if way == "out" else "<-"
                entry = f"{name} {arrow} {kind.decode()} {length:5} {body[:60].decode('latin-1')}"
            out.append(f"{now:10.4f} {entry}")
        return "\n".join(out)
