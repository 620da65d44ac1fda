"""What a link knows of the line that it is on, its rate included."""

from __future__ import annotations

from .. import limits
from .console import Console
from .events import Damaged, Event, ForeignText, Noise, RateChanged, RateWanted
from .framing import frames
from .framing.decoder import Decoder
from .framing.frames import Frame
from .reliability.pacing import Pacer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .autobaud.controller import AutobaudController

__all__ = ["Counters", "LineState"]

_ROUND_TRIP = 0.1  # seconds, assumed for the climbing until one is measured
_ROUND_TRIP_MOST = 0.5
_LONGER = 1.5  # a frame with its escapes, to one without
_STRANGE_SHARE = 0.3  # of a text's bytes that makes it none
_PLAIN = bytes((7, 8, 9, 10, 12, 13, 27, *range(32, 127)))  # what text is made of

_COUNTED = (
    "bytes_in",
    "bytes_out",
    "damaged",
    "echo",
    "frames_in",
    "frames_out",
    "noise",
    "stray",
    "text",
    "third",
)


class Counters:
    """What passed a line, in bytes unless a name says otherwise."""

    __slots__ = _COUNTED

    def __init__(self) -> None:
        self.bytes_in = 0
        self.bytes_out = 0
        self.frames_in = 0
        self.frames_out = 0
        self.text = 0
        """Foreign text."""
        self.noise = 0
        """Left over from damaged frames."""
        self.echo = 0
        """Our own frames that came back."""
        self.damaged = 0
        """Pieces that began as a frame and were none."""
        self.stray = 0
        """Frames of no session of ours."""
        self.third = 0
        """Hellos of third talkers."""

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in _COUNTED}


class LineState:
    """A line: how it is read, how it is paced, and how its rate climbs.

    :param baud: bits a second, where the port can be set to other ``rates``.
    :param counters: of what passes it.
    """

    __slots__ = (
        "_bytes_per_bit",
        "_counted_before",
        "_counters",
        "_reported_rate",
        "autobaud",
        "console",
        "decoder",
        "pacer",
        "shared",
    )

    def __init__(
        self,
        *,
        shared: bool,
        byte_rate: float | None,
        baud: int,
        rates: tuple[int, ...],
        decoder: Decoder,
        counters: Counters,
    ) -> None:
        self._counters = counters
        self.shared = shared
        self.pacer = Pacer(byte_rate)
        self.decoder = decoder
        self.console = Console()
        self.autobaud: AutobaudController | None = None
        """None on a line that keeps its rate."""
        self._bytes_per_bit = 0.0  # bytes in a bit's time
        self._counted_before = (0, 0)  # frames and damaged pieces that the climbing knows of
        self._reported_rate = baud  # the rate that stands, as it was told last
        if rates and byte_rate:
            from .autobaud.controller import (
                AutobaudController,
            )  # only here: few lines climb, and small commands have none

            self.autobaud = AutobaudController(base=baud, rates=rates)
            self._bytes_per_bit = byte_rate / baud

    def patience(self, least: float) -> float:
        """Seconds to wait for something valid: not less than two control frames take, one that was begun before ours
        arrived and the answer behind it; at 300 baud that is 8.5 s."""
        return max(least, 2 * limits.CONTROL_FRAME / self.pacer.rate if self.pacer.rate else 0.0)

    def classify_outside(self, event: ForeignText | Damaged, now: float) -> list[Event]:
        """Bytes came that are no frame: what they are taken for."""
        autobaud, counters = self.autobaud, self._counters
        if autobaud is not None and autobaud.on_trial:
            counters.noise += len(event.data)  # the two ends may have different rates at this moment
            return []
        if isinstance(event, ForeignText) and self._is_garbage(event.data):
            event = Damaged(event.data)
        counters.damaged += isinstance(event, Damaged)
        if self.shared:
            return self.console.sort(event, now)
        return [event if isinstance(event, ForeignText) else Noise(event.data)]

    # -- the rate -----------------------------------------------------------------------------------------------------

    @property
    def silent(self) -> bool:
        """Nothing may be sent but what the climbing says."""
        return self.autobaud is not None and self.autobaud.silent

    def lost(self, now: float) -> None:
        """The peer is lost, or the session over."""
        if self.autobaud is not None:
            self.autobaud.lost(now)

    def _is_garbage(self, text: bytes) -> bool:
        """At a rate that the line did not begin with: this was sent at another one, most likely, and is no text."""
        autobaud = self.autobaud
        if autobaud is None or autobaud.baud == autobaud.base:
            return False
        return len(text.translate(None, _PLAIN)) > _STRANGE_SHARE * len(text)

    def frame_received(self, frame: Frame, round_trip: float | None, longest: int, now: float) -> None:
        """A frame of the session came.

        :param round_trip: seconds, None before it is measured.
        :param longest: bytes of the longest frame that may be under way.
        """
        autobaud = self.autobaud
        if autobaud is None:
            return
        autobaud.round_trip = _ROUND_TRIP if round_trip is None else min(round_trip, _ROUND_TRIP_MOST)
        autobaud.frame_time = _LONGER * longest / (autobaud.baud * self._bytes_per_bit)
        if frame.kind == frames.RATE:
            autobaud.receive(frame.body, now)
        else:
            autobaud.heard(now)

    def bytes_received(self, data: bytes, *, fruitless: bool, now: float) -> None:
        """See whether what came makes sense at the rate that we think the line has.

        :param fruitless: no frame ended in them.
        """
        autobaud, counters = self.autobaud, self._counters
        if autobaud is None:
            return
        if fruitless:
            autobaud.bytes_outside_frames(len(data.translate(None, _PLAIN)), now)
        good, damaged = self._counted_before
        self._counted_before = counters.frames_in, counters.damaged
        autobaud.count_damage(counters.frames_in - good, counters.damaged - damaged, now)

    def port_free_at(self, half_sent: bool) -> float | None:
        """When the port may be set to the rate that is wanted: all that was given out has left by then."""
        autobaud = self.autobaud
        if autobaud is None or autobaud.wanted is None or autobaud.requested is not None:
            return None
        return None if autobaud.has_frame or half_sent else self.pacer.busy_until + limits.RATE_MARGIN

    def pace_by(self, baud: int, now: float) -> list[Event]:
        """The port is set to this rate. The other end's may be so a little later: nothing is said until then.

        :returns: what was half read; it was sent at the other rate.
        """
        if self.autobaud is None or baud == self.autobaud.baud:
            return []
        self.pacer = Pacer(baud * self._bytes_per_bit)
        self.pacer.busy_until = now + limits.RATE_SETTLE + limits.AHEAD
        return self.decoder.receive_eof()

    def rate_events(self, half_sent: bool, now: float) -> list[Event]:
        """What the owner of the line is to do, and to know, about its rate."""
        autobaud, events = self.autobaud, list[Event]()
        if autobaud is None:
            return events
        free_at = self.port_free_at(half_sent)
        if free_at is not None and now >= free_at and autobaud.wanted is not None:
            autobaud.requested = autobaud.wanted
            events.append(RateWanted(autobaud.wanted))
        if autobaud.standing != self._reported_rate:
            self._reported_rate = autobaud.standing
            events.append(RateChanged(self._reported_rate))
        return events
