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
from .party import Cause, Client

__all__ = [
    "ArrivalId",
    "Event",
    "Failed",
    "Granted",
    "HostEvent",
    "HostLost",
    "HostUp",
    "Level",
    "Outcome",
    "Released",
    "Value",
]

ArrivalId: TypeAlias = str
"""Chosen by the client: 1 to 64 printable ASCII characters, for one arrival of its host and its retries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A count barrier is complete.

    :ivar generation: which use of the name this was; from 1, growing, never repeated for one name.
    :ivar parties: who arrived, in order of arrival; a name occurs once for each of its invocations.
    :ivar position: the receiver's own place in ``parties``, from 1; the last to come has the barrier's count.
    """

    generation: int
    parties: tuple[str, ...]
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A semaphore was given to, taken from or read.

    :ivar value: the units left after that, and after the waiters it woke were served; 0 or more.
    """

    value: int


Value: TypeAlias = Released | Level


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


Outcome: TypeAlias = Granted | Failed


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
