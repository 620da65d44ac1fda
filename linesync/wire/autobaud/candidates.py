"""Which rates two ends may try, which of them failed, and how long those are left alone."""

from __future__ import annotations

from ... import limits

__all__ = ["CandidateRates"]


class CandidateRates:
    """The rates of one line, bits a second. Times are monotonic seconds.

    :param base: the rate at which the line begins.
    :param rates: those its port can be set to.
    """

    __slots__ = ("_base", "_blame", "_fails", "_peer", "rates")

    def __init__(self, base: int, rates: tuple[int, ...]) -> None:
        self.rates = frozenset((base, *rates))
        """What our port takes."""
        self._base = base
        self._peer: frozenset[int] | None = None  # what its port takes, once it has said so
        self._fails: dict[int, tuple[int, float]] = {}  # rate: (how often, not before)
        self._blame: tuple[int, float] | None = None  # the rate at which the peer was lost, and when

    def begin(self) -> None:
        """A session begins: nothing is known of its peer."""
        self._peer = None
        self._fails.clear()

    # -- what both take -----------------------------------------------------------------------------------------------

    def peer_takes(self, rates: frozenset[int]) -> None:
        """The peer has said what its port takes."""
        self._peer = rates | {self._base}

    def remove(self, rate: int) -> None:
        """Our port does not take it after all."""
        self.rates -= {rate}

    def _both(self) -> frozenset[int]:
        return self.rates if self._peer is None else self.rates & self._peer

    def above(self, rate: int) -> int | None:
        """The next faster one, None at the top."""
        return min((other for other in self._both() if other > rate), default=None)

    def below(self, rate: int) -> int:
        """The next slower one, or the one at which the line begins."""
        return max((other for other in self._both() if other < rate), default=self._base)

    # -- what failed --------------------------------------------------------------------------------------------------

    def not_before(self, rate: int) -> float:
        """When this rate may be asked for; minus infinity where it never failed."""
        return self._fails[rate][1] if rate in self._fails else float("-inf")

    def failed(self, rate: int, now: float) -> None:
        """Each time it is left alone for longer."""
        times = self._fails[rate][0] + 1 if rate in self._fails else 1
        wait = min(limits.CLIMB_AGAIN * 10.0 ** (times - 1), limits.CLIMB_AGAIN_MOST)
        self._fails[rate] = times, now + wait

    def refused(self, rate: int, now: float) -> None:
        """The peer said no: for now, if its port takes this rate."""
        if self._peer is not None and rate in self._peer:
            self.failed(rate, now)

    def forgive(self, rate: int) -> None:
        """It stood for so long that what failed before does not count."""
        self._fails.pop(rate, None)

    def blame(self, rate: int, now: float) -> None:
        """The peer is not heard any more, perhaps because of this rate: :meth:`heard_again` tells."""
        self._blame = rate, now

    def heard_again(self, now: float) -> None:
        """What failed a moment ago failed because of its rate; what failed longer ago, because nothing came through at
        any."""
        if self._blame is not None and now - self._blame[1] < limits.CLIMB_BLAME:
            self.failed(self._blame[0], now)
        self._blame = None
