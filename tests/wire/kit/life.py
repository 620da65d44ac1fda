"""One life of a link, which is one random run: random faults, random traffic from both ends, and the properties that must
hold.

The seed determines everything. For each session and channel, the life records the data that each end sends and the data that
the other end receives. :meth:`Life.live` compares the two.
"""

from __future__ import annotations

import random
from collections import defaultdict

from linesync import limits
from linesync.testing.faults import Faults
from linesync.testing.virtual_line import VirtualEnd, VirtualLine
from linesync.wire.events import (
    ChannelClosed,
    ChannelData,
    ChannelEnded,
    ChannelMessage,
    ChannelOpened,
    Event,
    SessionUp,
)
from linesync.wire.framing.frames import Lane

__all__ = ["Life"]

_PATIENCE = 400.0  # virtual seconds until all traffic must have arrived


def random_faults(rng: random.Random, rate: float | None) -> Faults:
    """A random choice of faults."""

    def some(chance: float, low: float, high: float) -> float:
        return low * (high / low) ** rng.random() if rng.random() < chance else 0.0

    def spans(chance: float) -> tuple[tuple[float, float], ...]:
        return ((rng.uniform(0, 4), rng.uniform(0.1, 3)),) if rng.random() < chance else ()

    return Faults(
        ber=some(0.5, 1e-6, 1e-4),
        drop=some(0.25, 1e-6, 5e-4),
        dup=some(0.25, 1e-6, 5e-4),
        burst=some(0.15, 1e-6, 1e-4),
        printk=some(0.4, 0.3, 6.0),
        cuts=spans(0.15),
        stuck_xoff=spans(0.15) if rate else (),
        seven_bit=rng.random() < 0.2,
        eat_xonxoff=rng.random() < 0.2,
        lf_to_crlf=rng.random() < 0.3,
        cr_to_lf=rng.random() < 0.1,
        trim_blanks=rng.random() < 0.1,
        add_blanks=rng.choice((0, 0, 0, 0, 1, 3)),
        line_limit=rng.choice((None, None, 4096)),
        delay=rng.choice((0.0, 0.0, 0.002, 0.03)),
    )


class _Record:
    """The data of one channel in one direction."""

    def __init__(self) -> None:
        self.items: list[tuple[object, bytes]] = []
        """(the number of a stream, its consecutive bytes), ("message", its text) or ("open", the opening)."""
        self.ended = False
        self.over = False
        """Whether the channel was reset or closed before its end."""

    def add(self, content: object, data: bytes) -> None:
        if content != "message" and self.items and self.items[-1][0] == content:
            self.items[-1] = (content, self.items[-1][1] + data)
        else:
            self.items.append((content, data))

    def starts_with(self, other: _Record) -> bool:
        """Whether the other record is a prefix of this one."""
        if not other.items:
            return True
        *whole, (content, data) = other.items
        at = len(whole)
        if self.items[:at] != whole or len(self.items) <= at or self.items[at][0] != content:
            return False
        own = self.items[at][1]
        return own == data if content == "message" else own.startswith(data)


class Life:
    """A line and its traffic."""

    def __init__(self, seed: int) -> None:
        rng = self.random = random.Random(seed)
        rate = rng.choice((960.0, 11520.0, 11520.0, 92160.0, None))
        self.line = VirtualLine(
            seed,
            byte_rate=rate,
            faults=random_faults(rng, rate),
            faults_ba=random_faults(rng, rate),
            echo=rng.random() < 0.1,
            shared=rate is not None or rng.random() < 0.5,
            local={"frame": rng.choice((127, 512, 2048)), "credit": rng.choice((2048, 1 << 16))},
            local_a={"flags": rng.choice(("nmza", "nza", "nz", ""))},
            local_b={"flags": "nmza"},
            grain=rng.choice((0.001, 0.005, 0.02, 0.02)),
        )
        if self.line.cable.echo and rate:
            # An answer before the end of the echo would collide with the newline in it each time.
            self.line.grain = 0.02
        self.sent: dict[object, _Record] = defaultdict(_Record)
        self.received: dict[object, _Record] = defaultdict(_Record)
        self.sessions: dict[VirtualEnd, object] = {}
        self.open_channels: dict[VirtualEnd, list[int]] = {end: [] for end in self.line.ends}
        self.restarted = False
        self.restarted_end: VirtualEnd | None = None
        self._actions_left = 0
        for end in self.line.ends:
            end.on_event = self._receiver(end)
        self._plan(rate or 50_000.0)

    # -- plan ----------------------------------------------------------------------------------------------------------

    def _plan(self, rate: float) -> None:
        rng, line = self.random, self.line
        size = int(min(2000.0, rate / 8))
        for _ in range(rng.randint(20, 50)):
            end = rng.choice(line.ends)
            self._actions_left += 1
            line.at(rng.uniform(0, 3), lambda end=end: self._act(end, size))
        draw = rng.random()
        if draw < 0.2:
            line.at(rng.uniform(0.5, 4), lambda: self._restart(rng.choice(line.ends)))
        elif draw < 0.45:
            for end in rng.choice(((line.a,), (line.b,), line.ends)):
                when = rng.uniform(0.3, 4)
                line.at(when, end.line_down)
                line.at(when + rng.uniform(0.01, 4), end.line_up)
        for second in range(8):
            line.at(second + 0.5, self.bounded)

    def _restart(self, end: VirtualEnd) -> None:
        self.restarted, self.restarted_end = True, end
        end.restart()
        self.open_channels[end] = []

    def _session(self, end: VirtualEnd) -> object:
        session = end.link.session
        assert session is not None
        return frozenset((session.nonce, session.peer.nonce))

    def _act(self, end: VirtualEnd, size: int) -> None:
        rng = self.random
        session = end.link.session
        if session is None:
            self.line.at(self.line.now + 0.3, lambda: self._act(end, size))
            return
        self._actions_left -= 1
        mux, name = session.mux, self._session(end)
        self.open_channels[end] = [number for number in self.open_channels[end] if mux.is_open(number)]
        content = rng.choice(("message 0", "open", "data", "data", "message", "end", "reset"))
        if content == "open" or (content != "message 0" and not self.open_channels[end]):
            words = rng.randbytes(rng.choice((5, 60, 900)))
            number = mux.open(rng.choice(tuple(Lane)), words)
            self.open_channels[end].append(number)
            self.sent[name, number, end.name].add("open", words)
        elif content == "message 0":
            self._put(mux.send_message, end, 0, "message", rng.randbytes(rng.randint(0, size // 4)))
        else:
            number = rng.choice(self.open_channels[end])
            sent = self.sent[name, number, end.name]
            if content == "data":
                stream = rng.randrange(4)
                self._put(
                    lambda n, d: mux.send(n, stream, d),
                    end,
                    number,
                    stream,
                    rng.randbytes(rng.randint(1, size)),
                )
            elif content == "message":
                self._put(mux.send_message, end, number, "message", rng.randbytes(rng.randint(0, size)))
            elif content == "end":
                sent.ended = True
                mux.end(number)
                self.open_channels[end].remove(number)
            else:
                sent.over = True
                mux.reset(number, "reset at random")
                self.open_channels[end].remove(number)

    def _put(self, put: object, end: VirtualEnd, number: int, content: object, data: bytes) -> None:
        assert callable(put)
        put(number, data)
        self.sent[self._session(end), number, end.name].add(content, data)

    # -- receiving -----------------------------------------------------------------------------------------------------

    def _receiver(self, end: VirtualEnd):
        other = "b" if end.name == "a" else "a"

        def receive(event: Event) -> None:
            self.acknowledged_was_heard()
            if isinstance(event, SessionUp):
                self.sessions[end] = self._session(end)
                self.open_channels[end] = []
            if not isinstance(event, ChannelData | ChannelMessage | ChannelOpened | ChannelEnded | ChannelClosed):
                return
            name = self.sessions[end]
            received = self.received[name, event.channel, other]
            if isinstance(event, ChannelOpened):
                received.add("open", event.words)
            elif isinstance(event, ChannelData):
                received.add(event.stream, event.data)
            elif isinstance(event, ChannelMessage):
                received.add("message", event.data)
            elif isinstance(event, ChannelEnded):
                assert not received.ended, "a channel ended twice"
                received.ended = True
                if end.link.session is not None and self._session(end) == name:
                    end.link.session.mux.end(event.channel)
                    self.sent[name, event.channel, end.name].ended = True
            else:
                received.over = True
                self.sent[name, event.channel, end.name].over = True

        return receive

    # -- properties ----------------------------------------------------------------------------------------------------

    def bounded(self) -> None:
        """Check that no end holds more bytes than its limits."""
        for end in self.line.ends:
            line = end.link._line
            if line is not None:
                longest = end.link.local.frame + limits.FOREIGN_IN_FRAME + 4096
                assert len(line.decoder._view) <= longest
                assert line.console._bytes <= limits.HELD_BYTES

    def acknowledged_was_heard(self) -> None:
        """Check that each end was heard by the other end at or after the time of its newest acknowledgement."""
        for end, other in (self.line.ends, self.line.ends[::-1]):
            if end.up and other.up and self._session(end) == self._session(other):
                assert end.link.acknowledged_at <= other.link.heard_at

    def settled(self) -> bool:
        """Whether everything that was sent in the current session has arrived."""
        a, b = self.line.ends
        if self._actions_left or not (a.up and b.up) or self._session(a) != self._session(b):
            return False
        name = self._session(a)
        return all(self._is_complete(key) for key in list(self.sent) if key[0] == name)

    def _is_complete(self, key: tuple[object, int, str]) -> bool:
        sent, received = self.sent[key], self.received[key]
        if sent.over or received.over:
            name, number, speaker = key
            other = self.sent.get((name, number, "b" if speaker == "a" else "a"))
            return (
                (other is not None and other.over)
                or received.over
                or (sent.ended and received.ended)
                or not received.items
            )
        return sent.items == received.items and sent.ended == received.ended

    def live(self) -> None:
        """Run the life and check its properties."""
        line = self.line
        while not self.settled() and line.now < _PATIENCE:
            line.run(0.1)
        assert self.settled(), f"these channels are incomplete: {self.missing()}"
        for key in list(self.received):
            assert self.sent[key].starts_with(self.received[key]), f"channel {key[1:]}: received what was not sent"
        self._check_closed()
        line.run(0.3)
        self._check_counters()
        self.bounded()

    def missing(self) -> list[object]:
        """Return (channel, sender) of all incomplete transfers."""
        return [key[1:] for key in list(self.sent) if not self._is_complete(key)]

    def _check_closed(self) -> None:
        """Check that the channels of ended sessions are closed at the end that did not restart."""
        for end in self.line.ends:
            session = end.link.session
            assert session is not None and session.broken == ""
            for name, number, speaker in list(self.sent):
                if name != self._session(end) and number and speaker == end.name and end is not self.restarted_end:
                    sent = self.sent[name, number, speaker]
                    assert sent.over or sent.ended, f"channel {number} stayed open after the end of its session"

    def _check_counters(self) -> None:
        for end in self.line.ends:
            counters = end.link.counters
            passed = self.line.cable.ab.counters.bytes_out + self.line.cable.ba.counters.bytes_out
            assert counters.bytes_in <= passed
            assert counters.text + counters.noise + counters.echo <= counters.bytes_in
            assert counters.frames_in * 10 <= counters.bytes_in + 20
            assert counters.text == len(end.text) or self.restarted
