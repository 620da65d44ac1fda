"""The time until which a hold is certainly ours, even while nothing arrives from the hub.

The hub gives the holds of a host to other clients when it has not heard the host for one lease, and not earlier. If we had
the hold at some time and the hub heard us then, the hold is ours for one lease from that time. We know such times:

1. We sent the commit of the grant, and the hub handled it later.
2. The answer to the request ``lease`` has an age: the time since our agent sent the newest frame that the hub has
   acknowledged. The agent measured the age after we had asked, so we may subtract it from the time at which we asked.

An answer that comes after this time is too late, because it does not show that the hub heard us in between. So a hold that
may have been lost stays lost.

The clock is CLOCK_BOOTTIME, which continues while the machine is suspended.
"""

from __future__ import annotations

from .. import limits, protocol
from ..errors import LinesyncError
from ..jobs.handover import boottime
from ..runtime.conversation import Conversation, Pending

__all__ = ["Validity"]

_RESERVE = 1 / 8  # part of a lease, for clocks that differ and for processes that are late ...
_RESERVE_MOST = 1.0  # ... and the most seconds of it


class Validity:
    """The time until which one hold is certainly ours. Create it before the commit of the grant is sent."""

    REQUEST = protocol.encode(protocol.Lease())

    def __init__(self) -> None:
        self.lease = 0.0
        """The hub's lease in seconds; 0 before the first answer."""
        self.until = float("-inf")
        """The time until which the hold is ours, in seconds of CLOCK_BOOTTIME; minus infinity before the first answer."""
        self._taken_at = boottime()

    def ask(self, peer: Conversation) -> Pending:
        """Ask the agent or the hub, and use its answer when it arrives."""
        asked_at = boottime()

        def answered(reply: str | LinesyncError) -> None:
            if not isinstance(reply, LinesyncError):
                self._answered(reply, asked_at, boottime())

        return peer.ask(self.REQUEST, answered)[1]

    def _answered(self, text: str, asked_at: float, now: float) -> None:
        try:
            reply = protocol.read_reply(text)
            age, lease = float(reply[0]), float(reply.options.get("lease", limits.LEASE))
        except (LinesyncError, ValueError, IndexError):
            return  # an older agent or hub does not know the request
        if age >= 0 and 0 < lease < 1e9:
            self.heard(asked_at - age, lease, now)

    def heard(self, heard_at: float, lease: float, now: float) -> None:
        """The hub has heard us at ``heard_at`` or later. We know this at ``now``."""
        length = lease - min(lease * _RESERVE, _RESERVE_MOST)
        if not self.lease:
            self.until = self._taken_at + length
        self.lease = lease
        if now < self.until:
            self.until = max(self.until, heard_at + length)

    @property
    def over(self) -> bool:
        """Whether the hold may have been lost."""
        return boottime() >= self.until

    @property
    def why_over(self) -> str:
        """The reason why it may have been lost, as a clause."""
        return (
            "nothing shows that the hub still hears this host; "
            f"another client may get the hold when the lease of {self.lease:g} s is over"
        )
