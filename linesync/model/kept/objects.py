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
    """grows in the order in which hosts were first seen"""
    session: str
    """the id of its session with the hub"""
    boot: str
    """the id of its agent process"""
    line: str
    """the line to it, as the hub names it"""
    since: float
    """when it became alive or was lost"""
    heard: float | None
    """when it was last heard; ``null`` while it is alive, because the time would change with each frame"""
    capabilities: tuple[str, ...]
    """its capabilities"""
    published: dict[str, str]
    """the values that it publishes"""
    down: str | None
    """why its line is down; ``null`` while it is up"""
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
    """grows in the order in which namespaces began"""
    host: str
    """the host of the client that began it"""
    client: str
    """the number of its connection on its host"""
    principal: Principal | None
    """the principal of that client; ``null`` if it is not known"""
    pid: int
    """the id of the process that owns it; 0 if the client owns it"""
    begin: str
    """when that process started"""
    command: str
    """the command that the owner runs"""
    since: float
    """when it began"""


class KeptCounter(State):
    """A number that must not become lower. The key is its name."""

    value: int
    """the number"""


class KeptTime(State):
    """A time before which something must not happen. The key is its name."""

    at: float
    """the time"""


class KeptSemaphore(State):
    """A semaphore. The key is its namespace and name, as for all named objects."""

    number: int
    """grows in the order in which semaphores came into use"""
    value: int
    """the units that are left"""
    bound: int
    """the most units it may have; 0 without a bound"""


class KeptLock(State):
    """A lock that has an owner."""

    number: int
    """grows in the order in which locks came into use"""
    token: int
    """the owner's fencing token"""
    since: float
    """when the owner got it"""


class KeptTerms(State):
    """The terms of a barrier or of an exchange. They do not change while it is open."""

    count: int
    """the number of parties"""
    members: tuple[str, ...] | None
    """the members, sorted; ``null`` for a barrier by count"""
    once: bool = False
    """whether the name is for one use"""
    linger: float = 0.0
    """seconds in which later arrivals pass"""
    tolerate: bool = False
    """whether lost members are not waited for"""
    rejoin: bool = False
    """whether members may restart"""


class KeptBarrier(State):
    """An open generation of a barrier."""

    number: int
    """grows in the order in which generations were opened"""
    generation: int
    """the generation number"""
    gone: dict[str, str]
    """the parties that left last, in order: name to cause"""
    restarted: dict[str, str]
    """the members whose loss is tolerated and whose host restarted: member to reason"""


class KeptExchange(State):
    """An open generation of an exchange."""

    number: int
    """grows in the order in which generations were opened"""
    generation: int
    """the generation number"""
    until: float | None
    """when its data is forgotten; ``null`` while an arrival waits"""


class KeptGiven(State):
    """A member of an open exchange that gave its data or left. The key is the exchange and the member."""

    data: int | None
    """the key of its data"""
    gone: str | None
    """why it left"""


class KeptPast(State):
    """The last use of a name of a barrier or exchange."""

    number: int
    """grows in the order in which names were used last"""
    weighed: int
    """grows in the order in which the lists of members were kept; 0 if none was kept"""
    generation: int
    """the number of the last use"""
    once: bool
    """whether the name was for one use"""
    parties: tuple[str, ...]
    """the first parties"""
    all_named: bool
    """whether these are all parties"""
    since: float
    """when it was released"""
    came: int
    """the number of parties that arrived, including those after the release"""
    others: int
    """how many parties have not got the error of the last failure, by count"""


class KeptLingering(State):
    """A release that lingers."""

    terms: KeptTerms
    """its terms"""
    lost: tuple[str, ...]
    """the lost members that it did not wait for"""


class KeptFailure(State):
    """A failure that members which had not arrived will get."""

    terms: KeptTerms
    """its terms"""
    error: KeptError
    """the error"""
    absent: tuple[str, ...]
    """the members that had not arrived, sorted"""
    since: float
    """when it failed"""


class KeptMark(State):
    """A member that has got the error of a failure. The key is the barrier or exchange and the member."""


class KeptEvent(State):
    """An event that is set."""

    number: int
    """grows in the order in which events were set"""


class KeptTopic(State):
    """A topic that has messages or waits."""

    number: int
    """grows in the order in which topics came into use"""


class KeptMessageRow(State):
    """A message. The key is its topic and its number."""

    sender: str
    """the member that sent it"""
    items: tuple[str, ...]
    """its contents"""


class KeptGathering(State):
    """The waits for a group at a topic. The key is the number, which grows in the order in which they began."""

    namespace: str
    """the namespace of the topic"""
    topic: str
    """the topic"""
    group: str
    """the group"""
    role: str
    """the role in it; empty for all roles"""
    stopped: tuple[str, ...]
    """the stopped hosts that had sent and still belong to it"""
