"""One try of a rate: what is said in it, and what came of its tests."""

from __future__ import annotations

from ... import limits
from .rate_frames import RateFrame

__all__ = ["RateTrial"]

_NUMBERS = 31
_REPORTS = 3  # copies of a report: it is said once
_BACKS = 2


class RateTrial:
    """The try under way, or the last one.

    :param base: bits a second at which the line begins.
    """

    __slots__ = ("number", "pending", "rate", "received", "reported")

    def __init__(self, base: int) -> None:
        self.number = 0
        """1..31 once there was one."""
        self.rate = base
        """What is tried, bits a second."""
        self.received = 0
        """The peer's tests that came."""
        self.reported: int | None = None
        """Tests of ours that came, once the peer has said so."""
        self.pending: list[RateFrame] = []
        """What is to be said, in order."""

    def owns(self, frame: RateFrame) -> bool:
        """It belongs to this try."""
        return frame.number == self.number and frame.rate == self.rate

    def join(self, frame: RateFrame) -> None:
        """The peer asks for this try."""
        self.number, self.rate = frame.number, frame.rate

    def passed(self, *, climbs: bool) -> bool:
        """Enough tests came both ways.

        :param climbs: the rate is a faster one; a slower one is taken as soon as anything comes.
        """
        least = limits.CLIMB_TESTS - limits.CLIMB_LOST if climbs else 1
        return min(self.received, self.reported or 0) >= least

    # -- what is said -------------------------------------------------------------------------------------------------

    def queue(self, step: str, value: int = 0) -> None:
        """Once, if it waits already."""
        if not any(frame.step == step for frame in self.pending):
            self.pending.append(self._frame(step, value))

    def _frame(self, step: str, value: int = 0) -> RateFrame:
        return RateFrame(step=step, number=self.number, rate=self.rate, value=value)

    def ask(self, takes: int) -> None:
        """Begin a try of this rate.

        :param takes: the set of rates that our port takes (:func:`~linesync.wire.autobaud.rate_frames.rate_set`).
        """
        self.number = self.number % _NUMBERS + 1
        self.queue("a", takes)

    def begin_tests(self) -> None:
        """The peer is to be met at the rate; nothing has come there yet."""
        self.received, self.reported = 0, None

    def queue_tests(self) -> float:
        """Send the volley, and nothing else.

        :returns: how long it takes, seconds.
        """
        self.pending = [self._frame("t", left) for left in reversed(range(limits.CLIMB_TESTS))]
        return limits.CLIMB_TESTS * limits.CONTROL_FRAME * 10 / self.rate

    def queue_report(self) -> None:
        self.pending += [self._frame("r", self.received)] * _REPORTS

    def queue_back(self) -> None:
        """Go back, and nothing else."""
        self.pending = [self._frame("b")] * _BACKS

    def drop_all_but_keep(self) -> None:
        """The try is over; the peer may still wait to hear that the rate is kept."""
        self.pending = [frame for frame in self.pending if frame.step == "k"]

    def queue_worse(self, standing: int) -> None:
        """Outside of any try: too much is damaged at the rate that stands."""
        self.pending.append(RateFrame(step="w", number=0, rate=standing))
