"""The time until which a client certainly has a hold, even if no message arrives from the hub.

The hub gives the holds of a host to other clients when it has not heard the host for one lease, and not earlier. If the
client had the hold at some time, and the hub heard the host at that time or later, the client has the hold for one lease from
that time. The client knows such times from two sources:

1. The client sent the commit of the grant, and the hub handled the commit later.
2. The reply to the request ``lease`` contains an age: the time since the agent sent the newest frame that the hub has
   acknowledged. The agent measures the age after the request. The client therefore subtracts the age from the time of the
   request.

A reply that arrives after the calculated time is too late, because it does not show that the hub heard the host during the
whole time. A hold that may have been lost therefore counts as lost for all later time.

The clock is CLOCK_BOOTTIME, which continues while the machine is suspended.
"""

from __future__ import annotations

from .. import limits, protocol
from ..errors import LinesyncError
from ..jobs.commands.handover import boottime
from ..runtime.conversation import Conversation
from ..runtime.pending import Pending

__all__ = ["Validity"]

_RESERVE = (
    1 / 8
)  # part of the lease that is subtracted as a reserve for differences of clocks and for delayed processes
_RESERVE_MOST = 1.0  # the largest reserve in seconds


class Validity:
    """The time until which the client certainly has one hold. Create the object before the commit of the grant is sent."""

    REQUEST = protocol.encode(protocol.Lease())

    def __init__(self) -> None:
        self.lease = 0.0
        """The hub's lease in seconds; 0 before the first reply."""
        self.until = float("-inf")
        """The time until which the client has the hold, in seconds of CLOCK_BOOTTIME; minus infinity before the first
        reply."""
        self._taken_at = boottime()

    def ask(self, peer: Conversation) -> Pending:
        """Send a request to the agent or the hub. Its reply extends :attr:`until` when it arrives."""
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
        """Extend the time, because the hub has heard this host.

        :param heard_at: the hub heard this host at this time or later.
        :param lease: the hub's lease in seconds.
        :param now: the current time; all times are in seconds of CLOCK_BOOTTIME.
        """
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
        """The reason why the hold may have been lost, as a clause."""
        return (
            "nothing shows that the hub still hears this host; "
            f"another client may get the hold when the lease of {self.lease:g} s is over"
        )
