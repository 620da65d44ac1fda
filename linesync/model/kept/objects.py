"""Hosts, namespaces and the named objects of the services, as stored records."""

from __future__ import annotations

from ..state.principal import Principal
from ..state.record import State
from .values import KeptError

__all__ = [
    "KeptBarrier",
    "KeptCounter",
    "KeptEvent",
    "KeptExchange",
    "KeptFailure",
    "KeptGathering",
    "KeptGiven",
    "KeptHost",
    "KeptLingering",
    "KeptLock",
    "KeptMark",
    "KeptMessageRow",
    "KeptNamespace",
    "KeptPast",
    "KeptSemaphore",
    "KeptTerms",
    "KeptTime",
    "KeptTopic",
]


class KeptHost(State):
    """A host. The key is its name."""

    number: int
    """a number that grows with each new host"""
    session: str
    """the id of its session with the hub"""
    boot: str
    """the id of its agent process"""
    line: str
    """the label of the line to it"""
    since: float
    """the time at which it became alive or was lost"""
    heard: float | None
    """the time of its last frame; ``null`` while it is alive, because the time would change with each frame"""
    capabilities: tuple[str, ...]
    """its capabilities"""
    published: dict[str, str]
    """the values that it publishes"""
    down: str | None
    """the reason why its line is down; ``null`` while the line is up"""
    lost: str | None
    """the cause of its loss; ``null`` while it is alive"""
    ended: bool
    """whether its session has ended"""
    why: str
    """the reason for its loss"""
    system: str = ""
    """the boot id of its system"""
    going_down: bool = False
    """whether its agent announced that its system is going down"""


class KeptNamespace(State):
    """A namespace with an owner. The key is its name."""

    number: int
    """a number that grows with each new namespace"""
    host: str
    """the host of the client that began it"""
    client: str
    """the number of its connection on its host"""
    principal: Principal | None
    """the principal of that client; ``null`` if it is not known"""
    pid: int
    """the id of the process that owns it; 0 if the client owns it"""
    begin: str
    """the start time of that process"""
    command: str
    """the command that the owner runs"""
    since: float
    """the time at which it began"""


class KeptCounter(State):
    """A number that must never decrease. The key is its name."""

    value: int
    """the number"""


class KeptTime(State):
    """A time before which an action is forbidden. The key names the action."""

    at: float
    """the time"""


class KeptSemaphore(State):
    """A semaphore. The key is its namespace and name, as for the other named objects."""

    number: int
    """a number that grows with each new semaphore"""
    value: int
    """the units that are left"""
    bound: int
    """the largest number of units that it may have; 0 without a bound"""


class KeptLock(State):
    """A lock that has an owner."""

    number: int
    """a number that grows with each new lock"""
    token: int
    """the owner's fencing token"""
    since: float
    """the time at which the owner got it"""


class KeptTerms(State):
    """The terms of a barrier or of an exchange. They do not change while it is open."""

    count: int
    """the number of parties"""
    members: tuple[str, ...] | None
    """the members, sorted; ``null`` for a barrier by count"""
    once: bool = False
    """whether the name can be used only once"""
    linger: float = 0.0
    """seconds after a release in which later arrivals pass immediately"""
    tolerate: bool = False
    """whether the barrier does not wait for lost members"""
    rejoin: bool = False
    """whether a member that has arrived may restart and arrive again"""


class KeptBarrier(State):
    """An open generation of a barrier."""

    number: int
    """a number that grows with each new generation"""
    generation: int
    """the generation number"""
    gone: dict[str, str]
    """the last parties that left, in order: name to cause"""
    restarted: dict[str, str]
    """the members whose loss is tolerated and whose host restarted: member to reason"""


class KeptExchange(State):
    """An open generation of an exchange."""

    number: int
    """a number that grows with each new generation"""
    generation: int
    """the generation number"""
    until: float | None
    """the time at which its data is forgotten; ``null`` while an arrival waits"""


class KeptGiven(State):
    """A member of an open exchange that gave its data or left. The key is the exchange and the member."""

    data: int | None
    """the key of its data"""
    gone: str | None
    """the cause of its leaving"""


class KeptPast(State):
    """The last use of the name of a barrier or exchange."""

    number: int
    """a number that grows with each use of a name"""
    weighed: int
    """a number that grows with each stored list of members; 0 if this record has no list of members"""
    generation: int
    """the number of the last use"""
    once: bool
    """whether the name could be used only once"""
    parties: tuple[str, ...]
    """the first parties"""
    all_named: bool
    """whether ``parties`` contains all parties"""
    since: float
    """the time of the release"""
    came: int
    """the number of parties that arrived, including those after the release"""
    others: int
    """for a barrier by count, the number of parties that have not got the error of the last failure"""


class KeptLingering(State):
    """A release that lets later arrivals pass for some seconds (``linger``)."""

    terms: KeptTerms
    """its terms"""
    lost: tuple[str, ...]
    """the lost members that the barrier did not wait for"""


class KeptFailure(State):
    """A failed generation. Members that had not arrived get its error when they arrive."""

    terms: KeptTerms
    """its terms"""
    error: KeptError
    """the error"""
    absent: tuple[str, ...]
    """the members that had not arrived, sorted"""
    since: float
    """the time of the failure"""


class KeptMark(State):
    """A member that has got the error of a failure. The key is the barrier or exchange and the member."""


class KeptEvent(State):
    """An event that is set."""

    number: int
    """a number that grows with each event that is set"""


class KeptTopic(State):
    """A topic that has messages or waits."""

    number: int
    """a number that grows with each new topic"""


class KeptMessageRow(State):
    """A message. The key is its topic and its number."""

    sender: str
    """the member that sent it"""
    items: tuple[str, ...]
    """its contents"""


class KeptGathering(State):
    """The waits for a group at a topic. The key is a number that grows with each new gathering."""

    namespace: str
    """the namespace of the topic"""
    topic: str
    """the topic"""
    group: str
    """the group"""
    role: str
    """the role in the group; empty for all roles"""
    stopped: tuple[str, ...]
    """the stopped hosts that have sent and still belong to the group"""
