"""The state of a line for its link: decoder, console text, pacing and rate."""

from __future__ import annotations

from .. import limits
from .console import Console
from .events import Damaged, Event, ForeignText, Noise, RateChanged, RateWanted
from .framing import frames, hello_flags
from .framing.decoder import Decoder
from .framing.frames import Frame
from .reliability.pacing import Pacer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .autobaud.controller import AutobaudController
    from .reliability.handshake import LocalParameters

__all__ = ["Counters", "LineState", "decoder_for"]

_ROUND_TRIP = 0.1  # the round-trip time for rate changes until it is measured, in seconds
_ROUND_TRIP_MOST = 0.5  # the maximum round-trip time for rate changes, in seconds
_LONGER = 1.5  # the length of a frame with escapes divided by its length without escapes
_STRANGE_SHARE = 0.3  # if a greater share of the received bytes is not text, the bytes are garbage
_PLAIN = bytes((7, 8, 9, 10, 12, 13, 27, *range(32, 127)))  # the bytes of text

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
    """Counters of the bytes and frames that passed over a line. The unit is bytes unless a comment says otherwise."""

    __slots__ = _COUNTED

    def __init__(self) -> None:
        self.bytes_in = 0
        self.bytes_out = 0
        self.frames_in = 0
        self.frames_out = 0
        self.text = 0
        """Foreign text."""
        self.noise = 0
        """Remains of damaged frames."""
        self.echo = 0
        """Frames of this end that the line returned."""
        self.damaged = 0
        """The number of pieces that began like a frame but were not valid."""
        self.stray = 0
        """The number of frames of other sessions."""
        self.third = 0
        """The number of hellos of other stations."""

    def as_dict(self) -> dict[str, int]:
        """The counters by name."""
        return {name: getattr(self, name) for name in _COUNTED}


def decoder_for(local: LocalParameters) -> Decoder:
    """Make a decoder for a line on which this end announces these parameters."""
    clean = hello_flags.CLEAN_PIPE in local.flags
    # With escapes or in base64, a frame may be longer than announced (section 2.3 of docs/protocol.md).
    if clean and hello_flags.EIGHT_FORM in local.flags:
        longest = 3 * local.frame + 64
    elif hello_flags.MASKED_FORM in local.flags:
        longest = 2 * local.frame + 64
    else:
        longest = local.frame
    patience = limits.PIPE_PATIENCE if clean else limits.FRAME_PATIENCE
    return Decoder(longest=longest, eight=clean, patience=patience)


class LineState:
    """A line: its decoder, its console text, its pacing, and its autobaud controller.

    :param shared: whether other stations may use the line.
    :param byte_rate: the number of bytes a second that the line carries; None for a line without a rate.
    :param baud: the current rate in bits a second, if the port can be set to other ``rates``.
    :param counters: the counters of the line.
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
        """The controller of the rate; None if the rate of the line never changes."""
        self._bytes_per_bit = 0.0  # the number of bytes that the line carries in the time of one bit
        self._counted_before = (0, 0)  # the numbers of frames and of damaged pieces that the controller already knows
        self._reported_rate = baud  # the rate in the last RateChanged
        if rates and byte_rate:
            # Imported only if it is needed: few lines have a controller, and the lines of small commands have none.
            from .autobaud.controller import AutobaudController

            self.autobaud = AutobaudController(base=baud, rates=rates)
            self._bytes_per_bit = byte_rate / baud

    def patience(self, least: float) -> float:
        """The time to wait for a valid frame, in seconds.

        It is at least the duration of two control frames: a frame of the peer that has already begun, and the answer behind
        it. At 300 baud this is 8.5 s.

        :param least: the shortest result, in seconds.
        """
        return max(least, 2 * limits.CONTROL_FRAME / self.pacer.rate if self.pacer.rate else 0.0)

    def classify_outside(self, event: ForeignText | Damaged, now: float) -> list[Event]:
        """The events for bytes that do not belong to a valid frame: text or noise."""
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

    # -- the rate ------------------------------------------------------------------------------------------------------

    @property
    def silent(self) -> bool:
        """Whether only rate frames may be sent."""
        return self.autobaud is not None and self.autobaud.silent

    def lost(self, now: float) -> None:
        """Return to the first rate, because the peer is lost or the session ended."""
        if self.autobaud is not None:
            self.autobaud.lost(now)

    def _is_garbage(self, text: bytes) -> bool:
        """Whether bytes were most likely sent at another rate and are not text. It is always False at the first rate."""
        autobaud = self.autobaud
        if autobaud is None or autobaud.baud == autobaud.base:
            return False
        return len(text.translate(None, _PLAIN)) > _STRANGE_SHARE * len(text)

    def frame_received(self, frame: Frame, round_trip: float | None, longest: int, now: float) -> None:
        """Pass a frame of the session to the controller of the rate.

        :param round_trip: the round-trip time in seconds; None until it is measured.
        :param longest: the length of the longest frame that may be on the line, in bytes.
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

    def bytes_received(self, data: bytes, *, no_frame: bool, now: float) -> None:
        """Let the controller of the rate check whether received bytes were sent at the current rate.

        :param no_frame: whether these bytes completed no frame.
        """
        autobaud, counters = self.autobaud, self._counters
        if autobaud is None:
            return
        if no_frame:
            autobaud.bytes_outside_frames(len(data.translate(None, _PLAIN)), now)
        good, damaged = self._counted_before
        self._counted_before = counters.frames_in, counters.damaged
        autobaud.count_damage(counters.frames_in - good, counters.damaged - damaged, now)

    def port_free_at(self, half_sent: bool) -> float | None:
        """The time at which all sent bytes have left, so that the port may be set to the wanted rate. None for no change.

        :param half_sent: whether a frame was partly sent.
        """
        autobaud = self.autobaud
        if autobaud is None or autobaud.wanted is None or autobaud.requested is not None:
            return None
        return None if autobaud.has_frame or half_sent else self.pacer.busy_until + limits.RATE_MARGIN

    def pace_by(self, baud: int, now: float) -> list[Event]:
        """Pace the line by the new rate of the port. The port of the other end may change a little later, so this end sends
        nothing until then.

        :returns: the events for the bytes of an incomplete frame, which were sent at the previous rate.
        """
        if self.autobaud is None or baud == self.autobaud.baud:
            return []
        self.pacer = Pacer(baud * self._bytes_per_bit)
        self.pacer.busy_until = now + limits.RATE_SETTLE + limits.AHEAD
        return self.decoder.receive_eof()

    def rate_events(self, half_sent: bool, now: float) -> list[Event]:
        """The requests and reports about the rate for the owner of the line.

        :param half_sent: whether a frame was partly sent.
        """
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
