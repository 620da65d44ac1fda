"""The state of a group: its view, its members, and its rounds of services."""

from __future__ import annotations

from .record import State

__all__ = [
    "NO_RING",
    "SEND_AGAIN",
    "Announced",
    "GroupMemberState",
    "GroupRoundState",
    "GroupServiceState",
    "GroupState",
    "Ring",
    "RoundState",
    "Terms",
    "ViewState",
]


class Ring(State):
    """The id of a view. It never repeats, not even after a restart of the hub."""

    epoch: int
    """grows with each view of all groups of the hub; 0 if there is no ring"""
    hub: str
    """the boot id of the hub that formed the view"""

    def __bool__(self) -> bool:
        return self.epoch != 0

    def __str__(self) -> str:
        return f"{self.epoch}@{self.hub}" if self else "none"


NO_RING = Ring(0, "")
"""The id while there is no ring: before the first view, and from an abort to the next view."""


SEND_AGAIN = "send again"
"""The cause in the details of an error: no member got the message, and the sender can send it again."""


class Terms(State):
    """The terms of a group. Its first member sets them."""

    quorum: int = 0
    """the least number of members with which the group delivers anything; 0 for no minimum"""
    init: str = "first"
    """``first``: all ``init`` steps run before the first ``process``; ``in-turn``: each runs directly before its ``process``"""
    activate: str = "after"
    """``after`` or ``before`` the barrier of the service"""
    on_failure: str = "retry"
    """the reaction to a failed step: ``retry``, ``exclude`` (the member) or ``stop``"""
    retries: int = 5
    """the most further rounds after failed ones"""
    backoff: float = 1.0
    """seconds until the first retry; each further delay is twice as long, up to 60 s"""


class Announced(State):
    """A service that a member announces."""

    id: int
    """its place in the order, 0 or more"""
    name: str
    """its name"""
    version: str = ""
    """its version; members with different versions are named"""
    timeout: float = 300.0
    """seconds for each step; 0 without a limit"""
    serialize: bool = False
    """whether its ``process`` runs on one member at a time"""
    keystone: bool = False
    """whether the group stops when it ends"""
    on_failure: str = ""
    """the reaction to a failed step of this service; empty for the term of the group"""


class ViewState(State):
    """A view of a group, as its members get it."""

    ring: Ring
    """its id"""
    members: tuple[str, ...]
    """the members, the oldest first"""
    joined: tuple[str, ...] = ()
    """the members that were not in the view before"""
    left: dict[str, str] = {}  # noqa: RUF012 (a record is never changed)
    """the members of the view before that are not in this one: member to cause"""
    missing: dict[str, str] = {}  # noqa: RUF012
    """if the group is short: the last members that left: member to cause"""
    why: str = ""
    """``retry`` or ``rerun``, if no member joined or left"""
    short: bool = False
    """whether there are fewer members than the quorum"""


class GroupServiceState(State):
    """A service of a member."""

    id: int
    """its place in the order"""
    name: str
    """its name"""
    version: str
    """its version"""
    state: str
    """``waiting``, ``init``, ``process``, ``done``, ``activate``, ``active``, ``aborted``, ``failed``, ``ended`` (by itself),
    ``stop`` or ``stopped``"""
    seconds: float | None
    """seconds since the present step began; ``null`` if no step runs"""
    why: str = ""
    """why it has failed or ended; else empty"""


class GroupMemberState(State):
    """A member of a group."""

    name: str
    """the member"""
    client: str
    """the number of its connection on its host"""
    since: float
    """seconds since it joined"""
    behind: int
    """the number of events that it has not received"""
    slow: bool
    """whether senders wait for it"""
    services: tuple[GroupServiceState, ...]
    """its [services](#services-of-a-member) in order. If the members have more than 2000 services, only services that run a
    step, have failed or have ended, and at most 2000"""


class RoundState(State):
    """The present round of a group."""

    state: str
    """``none``, ``init``, ``process``, ``activate``, ``completed``, ``failed``, ``stopping`` or ``stopped``"""
    service: int | None
    """the service whose turn it is, or ``null``"""
    services: tuple[int, ...]
    """all services of the round in order"""
    since: float
    """seconds since the last change"""
    why: str
    """why it failed; else empty"""
    mixed: tuple[str, ...]
    """a sentence for each service of which members have different versions"""
    waits_for: tuple[str, ...]
    """the members for which the others wait"""


class GroupRoundState(State):
    """An earlier round of a group."""

    ring: Ring
    """the view"""
    members: tuple[str, ...]
    """its members"""
    services: tuple[int, ...]
    """its services in order"""
    outcome: str
    """``completed``, ``failed`` or ``aborted``"""
    why: str
    """why it failed or was aborted"""
    began: float
    """seconds since it began"""
    seconds: float
    """how long it took"""


class GroupState(State):
    """A group."""

    namespace: str
    """its namespace"""
    name: str
    """its name"""
    ring: Ring
    """the id of the present view: an object with ``epoch`` and ``hub``"""
    terms: Terms
    """its [terms](#terms-of-a-group)"""
    short: bool
    """whether there are fewer members than the quorum"""
    missing: dict[str, str]
    """the last members that left: member to cause"""
    members: tuple[GroupMemberState, ...]
    """the [members](#members-of-a-group), the oldest first: objects with ``name``, ``client``, ``since``, ``behind``, ``slow``
    and ``services``"""
    joining: tuple[str, ...]
    """the new members that are in no view yet"""
    round: RoundState
    """the [present round](#present-round-of-a-group)"""
    rounds: tuple[GroupRoundState, ...]
    """the last [rounds](#earlier-rounds-of-a-group), the oldest first: objects with ``ring``, ``members``, ``services``,
    ``outcome``, ``why``, ``began`` and ``seconds``"""
    dropped: int
    """the number of messages that came after the end of their view"""
    stale: int
    """the number of reports about steps of earlier views"""
    waiting: int
    """the number of waits for members"""
