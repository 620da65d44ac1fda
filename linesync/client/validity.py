"""How long a hold is certainly ours, also while the hub cannot be heard.

The hub gives the holds of a host to others when it has not heard the host for a lease, and not earlier. So a hold is ours
until a lease after any moment at which we had it and the hub heard us. We know such moments:

1. The hub has handled the commit of the grant, after we had sent it.
2. The answer to the request ``lease`` has an age: so long ago our agent sent what the hub has acknowledged. The agent
   measured the age after we had asked, so we may count it from the time at which we asked.
3. An answer that comes when the hold may have been lost is too late. It does not show that the hub heard us in between. So a
   hold that may have been lost stays lost.

The clock is CLOCK_BOOTTIME, which goes on while the machine is suspended.
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
    """The time until which one hold is certainly ours. Make it before the commit of the grant is sent."""

    REQUEST = protocol.encode(protocol.Lease())

    def __init__(self) -> None:
        self.lease = 0.0
        """The hub's lease, seconds; 0 while it is not known, because there was no answer."""
        self.until = float("-inf")
        """Until then the hold is ours, seconds of CLOCK_BOOTTIME; minus infinity while the lease is not known."""
        self._taken_at = boottime()

    def ask(self, peer: Conversation) -> Pending:
        """Ask the agent or the hub, and take its answer when it comes."""
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
        """The hub has heard us at this time or later; we know it now."""
        length = lease - min(lease * _RESERVE, _RESERVE_MOST)
        if not self.lease:
            self.until = self._taken_at + length
        self.lease = lease
        if now < self.until:
            self.until = max(self.until, heard_at + length)

    @property
    def over(self) -> bool:
        """The hold may have been lost."""
        return boottime() >= self.until

    @property
    def why_over(self) -> str:
        """The reason, as a clause."""
        return (
            "nothing shows that the hub still hears this host; "
            f"another may get the hold when the lease of {self.lease:g} s is over"
        )
