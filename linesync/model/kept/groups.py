"""Groups, as stored records."""

from __future__ import annotations

from ..state.group import Announced, Ring, Terms
from ..state.principal import Principal
from ..state.record import State

__all__ = [
    "KeptEndedMember",
    "KeptEntry",
    "KeptGroup",
    "KeptGroupData",
    "KeptGroupMember",
    "KeptPastRound",
    "KeptRound",
    "KeptServices",
    "KeptStep",
]


class KeptStep(State):
    """A step that a member has not reported as done."""

    number: int
    """the number of its entry in the log"""
    kind: str
    """the kind of step"""
    service: int
    """the service"""


class KeptGroupMember(State):
    """A member of a group. The key is the group and the number of the member, which grows in the order of joining."""

    member: str
    """its name"""
    host: str
    """the host of its client"""
    client: str
    """the number of its client's connection on its host"""
    principal: Principal | None
    """the principal of that client; ``null`` if it is not known"""
    arrival: str
    """the id of the request with which it joined"""
    passive: bool
    """whether its host owns it, so that it gets no events"""
    since: float
    """when it joined"""
    sent: int
    """the number of the last event that was sent to it"""
    stage: str
    """its state: ``joining``, ``newcomer`` or ``synced``"""
    taking: tuple[int, ...]
    """its services that take part in the present round"""
    steps: tuple[KeptStep, ...]
    """the steps that it has not reported"""
    began: float
    """when the first of these steps began"""
    active: tuple[int, ...]
    """the services that it was asked to activate, and that it has not stopped"""
    poll: str
    """the arrival id of its request for events; empty if it has none"""
    full: bool
    """whether this request gets no events before the round has ended"""
    runs: int
    """the number of the step that it said it runs; 0 if it is not known"""
    cast: str
    """the arrival id of its message whose reply waits for room; empty if there is none"""
    cast_number: int
    """the number of that message"""
    partial: int
    """the bytes of the parts of a message whose last part has not come"""
    poster: str = ""
    """the number of the connection that sends this message, if it is not the member's own"""
    ended: dict[str, str] = {}  # noqa: RUF012 (a record is never changed)
    """the services that have ended by themselves: id to reason"""


class KeptServices(State):
    """The services of a member. The key is the key of the member."""

    services: tuple[Announced, ...]
    """the services that it announced"""


class KeptEntry(State):
    """An entry of the log of a group. The key is the group and its number."""

    kind: str
    """the kind of event"""
    service: int
    """the service of a step; else -1"""
    sender: str
    """the member that sent the message; else empty"""
    data: str
    """the data of a message, the JSON of a view, or a text"""
    only: tuple[int, ...] | None
    """the members that get it; ``null`` for all"""


class KeptRound(State):
    """The present round of a group."""

    state: str
    """its state"""
    services: tuple[int, ...]
    """its services in order"""
    at: int
    """the place of the present service in them"""
    ran: tuple[int, ...]
    """the members that have run the present service, if its members take turns"""
    since: float
    """when its state changed"""
    began: float
    """when it began"""
    why: str
    """why it failed"""
    failed_member: str
    """the member whose step failed; else empty"""
    failed_service: int
    """the service of that step"""
    mixed: tuple[str, ...]
    """a sentence for each service with different versions"""
    only: int
    """the only service of the round; -1 for all"""
    attempts: int
    """the number of failed rounds since the last change of the members"""
    retry_at: float | None
    """when the next round begins; ``null`` if none is planned"""


class KeptPastRound(State):
    """An earlier round of a group. The key is the group and the epoch of its view."""

    ring: Ring
    """the view"""
    members: tuple[str, ...]
    """its members"""
    services: tuple[int, ...]
    """its services"""
    outcome: str
    """its outcome"""
    why: str
    """the reason"""
    began: float
    """when it began"""
    ended: float
    """when it ended"""


class KeptGroup(State):
    """A group."""

    number: int
    """grows in the order in which groups came into use"""
    terms: Terms
    """its terms"""
    ring: Ring
    """its view"""
    short: bool
    """whether it has fewer members than the quorum"""
    view: int
    """the number of its view in its log"""
    missing: dict[str, str]
    """the last members that left"""
    last: int
    """the number of the last entry of its log"""
    dropped: int
    """the number of dropped messages"""
    stale: int
    """the number of stale reports"""
    slow_since: float | None
    """since when senders wait without progress"""
    round: KeptRound
    """the present round"""


class KeptGroupData(State):
    """The state that the members of a group have set. The key is the group."""

    data: str
    """the state"""
    sender: str
    """the member that set it"""


class KeptEndedMember(State):
    """A member that was removed and has not been notified. The key is its number."""

    host: str
    """the host of its client"""
    client: str
    """the number of its client's connection on its host"""
    kind: str
    """the kind of its end: ``left``, ``ended`` or ``removed``"""
    why: str
    """the cause"""
    group: str
    """the group, as messages name it"""
