"""The decisions of the sync services: small frozen records that the hub sends to the clients concerned.

Every call of a service returns a list of decisions in the order in which they happened. Decisions follow three rules:

1. An arrival ends in exactly one final outcome: a ``Granted`` that is not provisional, or a ``Failed``.
2. A provisional grant (units of a semaphore, or a lock) becomes final when its client confirms it. If the client
   disconnects before that, the hub takes the grant back, and a ``Failed`` with the same arrival id follows.
3. An outcome names its arrival and its receiver. A retry gets the same outcome, and its own client is the receiver.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..errors import LinesyncError
from .participants import Cause, Client

__all__ = [
    "ArrivalId",
    "Batch",
    "Ended",
    "Event",
    "Exchanged",
    "Failed",
    "Granted",
    "GroupEvent",
    "HostEvent",
    "HostLost",
    "HostUp",
    "Level",
    "Message",
    "Messages",
    "Names",
    "Noted",
    "Objects",
    "Outcome",
    "Posted",
    "Released",
    "Revoked",
    "Token",
    "Value",
]

ArrivalId: TypeAlias = str
"""The id of an arrival and its retries: 1 to 64 printable ASCII characters. The client chooses it; it is unique in its host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A barrier is complete.

    :ivar generation: the number of this use of the name, from 1. It grows with each use, and no number repeats.
    :ivar parties: the parties in order of arrival; a name occurs once for each of its arrivals. Empty if there are more
        than 32 parties and the receiver did not ask for them.
    :ivar position: the position of the receiver in the order of arrival, from 1.
    :ivar count: the number of parties that arrived.
    :ivar lost: the lost members that the barrier did not wait for, sorted.
    """

    generation: int
    parties: tuple[str, ...]
    position: int
    count: int
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A lock was granted.

    :ivar token: the fencing token, larger than all earlier tokens of this hub.
    """

    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Units of a semaphore were given, taken or counted.

    :ivar value: the units that are left, 0 or more. Waiting clients that could be served have already got their units.
    """

    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """The data of all members of an exchange is complete.

    :ivar generation: the number of this use of the name, from 1.
    :ivar members: all members, sorted.
    :ivar keys: for each member, the key under which its data is stored outside the model.
    """

    generation: int
    members: tuple[str, ...]
    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Events were set or cleared, or a wait for events has ended.

    :ivar names: for a wait, its events that are set, in the order of the request; otherwise empty.
    """

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A message was added to a topic.

    :ivar number: its position in the topic, from 1.
    """

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of a topic.

    :ivar number: its position in the topic, from 1; or its position among the messages of other members if the reader
        asked only for these.
    :ivar sender: the member that sent it.
    :ivar items: its contents.
    """

    number: int
    sender: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """Messages of a topic were read.

    :ivar messages: in the order of their numbers.
    """

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class GroupEvent:
    """One event of a group, for its members.

    :ivar number: its place in the log of the group, from 1.
    :ivar kind: one of the kinds of :mod:`linesync.model.groups.log`.
    :ivar service: the service of a step; else -1.
    :ivar sender: the member that sent a message; else empty.
    :ivar data: the data of a message, the JSON of a view, or a text.
    :ivar only: the numbers of the members that get it; None for all.
    """

    number: int
    kind: str
    service: int = -1
    sender: str = ""
    data: str = ""
    only: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The next events of a group for one member. Such a result is not kept, because a member asks by number.

    :ivar events: in the order of their numbers; none if a later request of the member replaced this one.
    """

    events: tuple[GroupEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """Objects of the test bus were created or deleted.

    :ivar handles: the handles of the created objects, in the order of the request; empty after a deletion.
    :ivar hosts: for a claim, the host of each handle; otherwise empty.
    """

    handles: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A process of the test bus has ended.

    :ivar process: its handle.
    :ivar state: ``exited``, ``crashed``, ``timed out``, ``could not start`` or ``host lost``.
    :ivar status: its exit status; None if it has none.
    :ivar signal: the number of the signal that ended it; None if none did.
    :ivar core: whether it left a core dump.
    :ivar output: the number of bytes of its output.
    :ivar why: the reason why it could not start, or was lost; else empty.
    """

    process: str
    state: str
    status: int | None = None
    signal: int | None = None
    core: bool = False
    output: int = 0
    why: str = ""


Value: TypeAlias = Released | Token | Level | Exchanged | Names | Posted | Messages | Batch | Objects | Ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """An arrival succeeded.

    :ivar arrival: the arrival that has this outcome.
    :ivar client: the receiver.
    :ivar value: the result.
    :ivar provisional: whether the client must confirm the grant. The hub takes an unconfirmed grant back when the client is
        gone.
    """

    arrival: ArrivalId
    client: Client
    value: Value
    provisional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An arrival failed, and nothing of it is left.

    :ivar arrival: the arrival that has this outcome.
    :ivar client: the receiver.
    :ivar error: the reason, as the exception that the client raises.
    """

    arrival: ArrivalId
    client: Client
    error: LinesyncError


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """A hold has ended although its client did not give it back: its host was lost, or the name was reset.

    :ivar arrival: the arrival of the hold.
    :ivar client: the former holder.
    :ivar why: the reason, as a clause.
    """

    arrival: ArrivalId
    client: Client
    why: str


Outcome: TypeAlias = Granted | Failed | Revoked


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUp:
    """A host registered, or a frame came from it after it was lost.

    :ivar host: its name.
    :ivar session: its session.
    :ivar resumed: whether the session survived the loss. The waits that failed at the loss stay failed.
    :ivar again: the end of the host's earlier life as a clause, such as "it was rebooted"; empty if this is its first life,
        or if the end is not known.
    """

    host: str
    session: str
    resumed: bool
    again: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLost:
    """A host is lost: its session has ended, or its lease ran out.

    Each loss is reported once. A host that restarted and does not register again in time is reported a second time.

    :ivar host: its name.
    :ivar session: its last session.
    :ivar cause: line lost, restarted or stopped.
    :ivar why: the reason for people, as a clause.
    """

    host: str
    session: str
    cause: Cause
    why: str


@dataclass(frozen=True, slots=True)
class Noted:
    """A change of the state, for the clients that follow all changes. No client waits for it.

    :ivar kind: one of the kinds of :mod:`linesync.model.state.change`.
    :ivar key: the namespace and the name of the changed object; the namespace of a host is empty.
    :ivar who: the member or the host that changed it; empty if neither did.
    :ivar value: the number that belongs to the kind, or None.
    :ivar why: the cause or the error; empty if there is none.
    :ivar client: the client that changed it; None for the sender of the current request.
    """

    kind: str
    key: tuple[str, str]
    who: str = ""
    value: int | None = None
    why: str = ""
    client: Client | None = None


HostEvent: TypeAlias = HostUp | HostLost
Event: TypeAlias = Outcome | HostEvent
