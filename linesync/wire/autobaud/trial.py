"""One trial of a rate: the rate frames that wait to be sent, and the result of the tests."""

from __future__ import annotations

from ... import limits
from .rate_frames import RateFrame

__all__ = ["RateTrial"]

_NUMBERS = 31  # trials have the numbers 1 to 31
_REPORTS = 3  # the number of copies of a report; it is not repeated later
_BACKS = 2  # the number of copies of a back frame


class RateTrial:
    """The current trial, or the last trial.

    :param base: the first rate of the line, in bits a second.
    """

    __slots__ = ("number", "pending", "rate", "received", "reported")

    def __init__(self, base: int) -> None:
        self.number = 0
        """The number of the trial, 1 to 31; 0 before the first trial."""
        self.rate = base
        """The rate on trial, in bits a second."""
        self.received = 0
        """The number of test frames that arrived from the peer."""
        self.reported: int | None = None
        """The number of test frames of this end that reached the peer; None until the peer reports it."""
        self.pending: list[RateFrame] = []  # bound: fixed
        """The frames that wait to be sent, in order."""

    def owns(self, frame: RateFrame) -> bool:
        """Whether a frame belongs to this trial."""
        return frame.number == self.number and frame.rate == self.rate

    def join(self, frame: RateFrame) -> None:
        """Begin the trial that the peer has asked for."""
        self.number, self.rate = frame.number, frame.rate

    def passed(self, *, faster: bool) -> bool:
        """Whether enough test frames arrived in both directions.

        :param faster: whether the rate is faster than the current rate. For a slower rate, one frame in each direction is
            enough.
        """
        least = limits.CLIMB_TESTS - limits.CLIMB_LOST if faster else 1
        return min(self.received, self.reported or 0) >= least

    # -- sending ------------------------------------------------------------------------------------------------------

    def queue(self, step: str, value: int = 0) -> None:
        """Queue a frame, unless the queue already contains a frame with the same step."""
        if not any(frame.step == step for frame in self.pending):
            self.pending.append(self._frame(step, value))

    def _frame(self, step: str, value: int = 0) -> RateFrame:
        return RateFrame(step=step, number=self.number, rate=self.rate, value=value)

    def ask(self, takes: int) -> None:
        """Begin a trial of the rate in :attr:`rate`, and queue the question.

        :param takes: the set of rates that the port of this end supports
            (:func:`~linesync.wire.autobaud.rate_frames.rate_set`).
        """
        self.number = self.number % _NUMBERS + 1
        self.queue("a", takes)

    def begin_tests(self) -> None:
        """Reset the results of the tests, because the port was set to the rate."""
        self.received, self.reported = 0, None

    def queue_tests(self) -> float:
        """Queue the test frames, and drop all other frames from the queue.

        :returns: the duration of the test frames on the line, in seconds.
        """
        self.pending = [self._frame("t", left) for left in reversed(range(limits.CLIMB_TESTS))]
        return limits.CLIMB_TESTS * limits.CONTROL_FRAME * 10 / self.rate

    def queue_report(self) -> None:
        """Queue the report about the test frames that arrived."""
        self.pending += [self._frame("r", self.received)] * _REPORTS

    def queue_back(self) -> None:
        """Queue the order to return to the previous rate, and drop all other frames from the queue."""
        self.pending = [self._frame("b")] * _BACKS

    def drop_all_but_keep(self) -> None:
        """End the trial. Keep only the keep frames in the queue, because the peer may still wait for one."""
        self.pending = [frame for frame in self.pending if frame.step == "k"]

    def queue_worse(self, rate: int) -> None:
        """Queue a report that too many frames are damaged at the current rate, outside of a trial."""
        if not any(frame.step == "w" for frame in self.pending):
            self.pending.append(RateFrame(step="w", number=0, rate=rate))
