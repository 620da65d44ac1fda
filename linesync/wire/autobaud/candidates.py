"""The rates that two ends may try: which of them failed, and when a failed rate may be tried again."""

from __future__ import annotations

from ... import limits

__all__ = ["CandidateRates"]


class CandidateRates:
    """The rates of one line, bits a second. Times are monotonic seconds.

    :param base: the first rate of the line.
    :param rates: the rates that our port supports.
    """

    __slots__ = ("_base", "_fails", "_peer", "_suspect", "rates")

    def __init__(self, base: int, rates: tuple[int, ...]) -> None:
        self.rates = frozenset((base, *rates))
        """The rates that our port supports."""
        self._base = base
        self._peer: frozenset[int] | None = (
            None  # the rates that the peer's port supports; None until the peer names them
        )
        # bound: fixed
        self._fails: dict[int, tuple[int, float]] = {}  # rate: (failures, time before which it is not tried)
        self._suspect: tuple[int, float] | None = None  # the rate at which the peer was lost, and the time

    def begin(self) -> None:
        """A session begins. Nothing is known about its peer yet."""
        self._peer = None
        self._fails.clear()

    # -- common rates --------------------------------------------------------------------------------------------------

    def set_peer_rates(self, rates: frozenset[int]) -> None:
        """Note the rates that the peer's port supports."""
        self._peer = rates | {self._base}

    def remove(self, rate: int) -> None:
        """Our port refused this rate."""
        self.rates -= {rate}

    def _both(self) -> frozenset[int]:
        return self.rates if self._peer is None else self.rates & self._peer

    def above(self, rate: int) -> int | None:
        """The next faster rate, or None."""
        return min((other for other in self._both() if other > rate), default=None)

    def below(self, rate: int) -> int:
        """The next slower rate; the first rate if there is none."""
        return max((other for other in self._both() if other < rate), default=self._base)

    # -- failures ------------------------------------------------------------------------------------------------------

    def not_before(self, rate: int) -> float:
        """The time before which this rate is not tried; minus infinity if it never failed."""
        return self._fails[rate][1] if rate in self._fails else float("-inf")

    def failed(self, rate: int, now: float) -> None:
        """The rate failed: the wait until the next try grows with each failure."""
        times = self._fails[rate][0] + 1 if rate in self._fails else 1
        wait = min(limits.CLIMB_AGAIN * 10.0 ** (times - 1), limits.CLIMB_AGAIN_MOST)
        self._fails[rate] = times, now + wait

    def refused(self, rate: int, now: float) -> None:
        """The peer refused this rate. That is a failure only if its port supports the rate."""
        if self._peer is not None and rate in self._peer:
            self.failed(rate, now)

    def clear_failures(self, rate: int) -> None:
        """Forget the earlier failures of a rate, because it has worked for a long time."""
        self._fails.pop(rate, None)

    def suspect(self, rate: int, now: float) -> None:
        """The peer is no longer heard. This rate may be the cause: :meth:`heard_again` decides."""
        self._suspect = rate, now

    def heard_again(self, now: float) -> None:
        """The peer is heard again. If the silence was short, the rate was its cause; after a long silence the line was
        cut at every rate."""
        if self._suspect is not None and now - self._suspect[1] < limits.CLIMB_BLAME:
            self.failed(self._suspect[0], now)
        self._suspect = None
