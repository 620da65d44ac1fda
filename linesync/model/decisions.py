"""What a sync service decides: small frozen events that the hub sends to those they concern.

Every call of a service returns a list of these, in the order in which they happened. The room they share:

1. An arrival ends in exactly one final outcome: a ``Granted`` that is not provisional, or a ``Failed``.
2. A provisional grant (units of a semaphore, later a lock) is final once its client confirms it. If the
   client is gone first, what was granted goes back and a ``Failed`` with the same arrival id follows.
3. An outcome names the arrival and the client it goes to; a retry gets the same, sent to whoever asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..errors import LinesyncError
from .participants import Cause, Client

__all__ = [
    "ArrivalId",
    "Event",
    "Exchanged",
    "Failed",
    "Granted",
    "HostEvent",
    "HostLost",
    "HostUp",
    "Level",
    "Message",
    "Messages",
    "Names",
    "Outcome",
    "Posted",
    "Released",
    "Revoked",
    "Token",
    "Value",
]

ArrivalId: TypeAlias = str
"""Chosen by the client: 1 to 64 printable ASCII characters, for one arrival of its host and its retries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A barrier is complete.

    :ivar generation: which use of the name this was; from 1, growing, never repeated for one name.
    :ivar parties: who arrived, in order of arrival; a name occurs once for each of its invocations. Empty when they are more
        than 32 and nobody asked for them.
    :ivar position: the receiver's own place in the order of arrival, from 1.
    :ivar count: how many arrived.
    :ivar lost: the members that were lost and not waited for, sorted.
    """

    generation: int
    parties: tuple[str, ...]
    position: int
    count: int
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A lock is owned.

    :ivar token: the fencing token, larger than every earlier one of this hub.
    """

    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A semaphore was given to, taken from or read.

    :ivar value: the units left after that, and after the waiters it woke were served; 0 or more.
    """

    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """The data of all members of an exchange is here.

    :ivar generation: which use of the name this was, from 1.
    :ivar members: all of them, sorted.
    :ivar keys: what each of them gave, by the key under which whoever serves the exchange keeps it.
    """

    generation: int
    members: tuple[str, ...]
    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Events were set or cleared, or what was waited for is set.

    :ivar names: for a wait, those of its events that are set, in the order asked for; else none.
    """

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A message was added to a topic.

    :ivar number: its place there, from 1.
    """

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of a topic.

    :ivar number: its place in the topic, from 1; among the others' messages, where only those were asked for.
    :ivar sender: the member that sent it.
    :ivar items: what it says.
    """

    number: int
    sender: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """Messages of a topic were read.

    :ivar messages: in order of their numbers.
    """

    messages: tuple[Message, ...]


Value: TypeAlias = Released | Token | Level | Exchanged | Names | Posted | Messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The arrival has what it came for.

    :ivar arrival: whose it is.
    :ivar client: where to send it.
    :ivar value: what it got.
    :ivar provisional: True when it goes back unless the client confirms it.
    """

    arrival: ArrivalId
    client: Client
    value: Value
    provisional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The arrival will not get what it came for; nothing of it is left behind.

    :ivar arrival: whose it is.
    :ivar client: where to send it.
    :ivar error: why, as the exception that the client raises.
    """

    arrival: ArrivalId
    client: Client
    error: LinesyncError


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """What a client held has gone back without its doing: its host was lost, or somebody reset the name.

    :ivar arrival: under which it was held.
    :ivar client: who held it.
    :ivar why: half a sentence.
    """

    arrival: ArrivalId
    client: Client
    why: str


Outcome: TypeAlias = Granted | Failed | Revoked


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUp:
    """A host registered, or is heard again after it was lost.

    :ivar host: its name.
    :ivar session: the session that speaks for it.
    :ivar resumed: True when the session outlived the loss; its failed waits stay failed all the same.
    """

    host: str
    session: str
    resumed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLost:
    """A host's life is over, or its lease ran out; told once for each loss.

    :ivar host: its name.
    :ivar session: the session that spoke for it.
    :ivar cause: line lost, restarted or stopped.
    :ivar why: the same for people, as half a sentence.
    """

    host: str
    session: str
    cause: Cause
    why: str


HostEvent: TypeAlias = HostUp | HostLost
Event: TypeAlias = Outcome | HostEvent
