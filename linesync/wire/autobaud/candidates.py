"""The rates that two ends may try, with the failures of each rate and the time of its next trial."""

from __future__ import annotations

from ... import limits

__all__ = ["CandidateRates"]


class CandidateRates:
    """The rates of one line in bits a second. Times are monotonic seconds.

    :param base: the first rate of the line.
    :param rates: the rates that the port of this end supports.
    """

    __slots__ = ("_base", "_fails", "_peer", "_suspect", "rates")

    def __init__(self, base: int, rates: tuple[int, ...]) -> None:
        self.rates = frozenset((base, *rates))
        """The rates that the port of this end supports."""
        self._base = base
        self._peer: frozenset[int] | None = (
            None  # the rates that the peer's port supports; None until the peer names them
        )
        # bound: fixed
        self._fails: dict[int, tuple[int, float]] = {}  # rate: (failures, time before which it is not tried)
        self._suspect: tuple[int, float] | None = None  # the rate at which the peer was lost, and the time

    def begin(self) -> None:
        """Forget the facts about the earlier peer, because a new session begins."""
        self._peer = None
        self._fails.clear()

    # -- common rates --------------------------------------------------------------------------------------------------

    def set_peer_rates(self, rates: frozenset[int]) -> None:
        """Store the rates that the peer's port supports."""
        self._peer = rates | {self._base}

    def remove(self, rate: int) -> None:
        """Remove a rate that the port of this end refused."""
        self.rates -= {rate}

    def _both(self) -> frozenset[int]:
        return self.rates if self._peer is None else self.rates & self._peer

    def above(self, rate: int) -> int | None:
        """The next faster rate that both ports support, or None."""
        return min((other for other in self._both() if other > rate), default=None)

    def below(self, rate: int) -> int:
        """The next slower rate that both ports support, or the first rate if there is no slower rate."""
        return max((other for other in self._both() if other < rate), default=self._base)

    # -- failures ------------------------------------------------------------------------------------------------------

    def not_before(self, rate: int) -> float:
        """The time before which this rate is not tried; minus infinity if it never failed."""
        return self._fails[rate][1] if rate in self._fails else float("-inf")

    def failed(self, rate: int, now: float) -> None:
        """Record a failure of a rate. The wait until its next trial grows with each failure."""
        times = self._fails[rate][0] + 1 if rate in self._fails else 1
        wait = min(limits.CLIMB_AGAIN * 10.0 ** (times - 1), limits.CLIMB_AGAIN_MOST)
        self._fails[rate] = times, now + wait

    def refused(self, rate: int, now: float) -> None:
        """Record that the peer refused a rate. This is a failure of the rate only if the peer's port supports it."""
        if self._peer is not None and rate in self._peer:
            self.failed(rate, now)

    def clear_failures(self, rate: int) -> None:
        """Forget the earlier failures of a rate, because it has worked for a long time."""
        self._fails.pop(rate, None)

    def suspect(self, rate: int, now: float) -> None:
        """Record that the peer was lost at this rate. :meth:`heard_again` decides later whether the rate was the cause."""
        self._suspect = rate, now

    def heard_again(self, now: float) -> None:
        """Record that the peer is heard again. After a short silence, the suspected rate has failed. After a long silence,
        the line was interrupted, and no rate has failed."""
        if self._suspect is not None and now - self._suspect[1] < limits.CLIMB_BLAME:
            self.failed(self._suspect[0], now)
        self._suspect = None
