"""One trial of a rate: the rate frames to send, and the result of the tests."""

from __future__ import annotations

from ... import limits
from .rate_frames import RateFrame

__all__ = ["RateTrial"]

_NUMBERS = 31  # trials have the numbers 1..31
_REPORTS = 3  # a report is sent this many times at once, because it is not repeated later
_BACKS = 2  # the same for a back frame


class RateTrial:
    """The present trial, or the last one.

    :param base: the first rate of the line, bits a second.
    """

    __slots__ = ("number", "pending", "rate", "received", "reported")

    def __init__(self, base: int) -> None:
        self.number = 0
        """1..31; 0 before the first trial."""
        self.rate = base
        """The rate on trial, bits a second."""
        self.received = 0
        """The test frames that arrived from the peer."""
        self.reported: int | None = None
        """The test frames of this end that reached the peer, None until it reports them."""
        self.pending: list[RateFrame] = []  # bound: fixed
        """Frames to send, in order."""

    def owns(self, frame: RateFrame) -> bool:
        """The frame belongs to this trial."""
        return frame.number == self.number and frame.rate == self.rate

    def join(self, frame: RateFrame) -> None:
        """Begin the trial that the peer asks for."""
        self.number, self.rate = frame.number, frame.rate

    def passed(self, *, faster: bool) -> bool:
        """Whether enough test frames arrived in both directions.

        :param faster: the rate is faster than the present one; for a slower rate, one frame in each direction is enough.
        """
        least = limits.CLIMB_TESTS - limits.CLIMB_LOST if faster else 1
        return min(self.received, self.reported or 0) >= least

    # -- sending ------------------------------------------------------------------------------------------------------

    def queue(self, step: str, value: int = 0) -> None:
        """Queue a frame, unless one with the same step is in the queue already."""
        if not any(frame.step == step for frame in self.pending):
            self.pending.append(self._frame(step, value))

    def _frame(self, step: str, value: int = 0) -> RateFrame:
        return RateFrame(step=step, number=self.number, rate=self.rate, value=value)

    def ask(self, takes: int) -> None:
        """Begin a trial of this rate.

        :param takes: the set of rates that our port supports (:func:`~linesync.wire.autobaud.rate_frames.rate_set`).
        """
        self.number = self.number % _NUMBERS + 1
        self.queue("a", takes)

    def begin_tests(self) -> None:
        """The port was set to the rate. Nothing has arrived at it yet."""
        self.received, self.reported = 0, None

    def queue_tests(self) -> float:
        """Queue the test frames, and drop all other frames from the queue.

        :returns: its duration on the line, seconds.
        """
        self.pending = [self._frame("t", left) for left in reversed(range(limits.CLIMB_TESTS))]
        return limits.CLIMB_TESTS * limits.CONTROL_FRAME * 10 / self.rate

    def queue_report(self) -> None:
        """Queue the report of the test frames that arrived."""
        self.pending += [self._frame("r", self.received)] * _REPORTS

    def queue_back(self) -> None:
        """Queue the order to go back to the rate before, and drop all other frames from the queue."""
        self.pending = [self._frame("b")] * _BACKS

    def drop_all_but_keep(self) -> None:
        """End the trial. The peer may still wait for a keep."""
        self.pending = [frame for frame in self.pending if frame.step == "k"]

    def queue_worse(self, rate: int) -> None:
        """Outside of trials: report that too many frames are damaged at the present rate."""
        if not any(frame.step == "w" for frame in self.pending):
            self.pending.append(RateFrame(step="w", number=0, rate=rate))
