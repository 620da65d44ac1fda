"""Arrivals and results, as stored records."""

from __future__ import annotations

from typing import TypeAlias

from ..state.principal import Principal
from ..state.record import State
from ..state.testbus import Want
from .values import (
    KeptEnded,
    KeptError,
    KeptExchanged,
    KeptLevel,
    KeptMessages,
    KeptNames,
    KeptObjects,
    KeptPosted,
    KeptReleased,
    KeptToken,
)

__all__ = [
    "At",
    "AtBarrier",
    "AtClaim",
    "AtDeletion",
    "AtEvents",
    "AtExchange",
    "AtGathering",
    "AtGroup",
    "AtLock",
    "AtProcess",
    "AtSemaphore",
    "AtTopic",
    "KeptResult",
    "KeptWait",
]


class AtBarrier(State):
    """An arrival at a barrier."""

    namespace: str
    """the namespace of the barrier"""
    barrier: str
    """the barrier"""
    member: str | None
    """the member that arrived; ``null`` for a party without a name"""
    later: bool
    """whether it arrived when the generation was already complete, and waits for the next generation"""
    all_parties: bool
    """whether it asked for a list of all parties"""


class AtSemaphore(State):
    """An arrival that takes units: it waits, or has units that may return to the semaphore."""

    namespace: str
    """the namespace of the semaphore"""
    semaphore: str
    """the semaphore"""
    units: int
    """the number of units that it wants or has"""
    holds: bool
    """whether it asked to hold the units"""


class AtLock(State):
    """The owner of a lock, or an arrival that waits for it."""

    namespace: str
    """the namespace of the lock"""
    lock: str
    """the lock"""
    keep: bool
    """whether the host owns the lock"""


class AtExchange(State):
    """An arrival at an exchange."""

    namespace: str
    """the namespace of the exchange"""
    exchange: str
    """the exchange"""
    polls: bool
    """whether it fails if another member's data is missing when its own data is complete"""


class AtEvents(State):
    """A wait for events."""

    namespace: str
    """the namespace of the events"""
    events: tuple[str, ...]
    """the events"""
    any: bool
    """whether one of the events is enough"""


class AtTopic(State):
    """A wait for a message."""

    namespace: str
    """the namespace of the topic"""
    topic: str
    """the topic"""
    first: int
    """the number of the message that it waits for"""
    most: int
    """the maximum number of messages to read"""
    apart: str | None
    """the member whose messages do not count; ``null`` if all count"""


class AtGathering(State):
    """A wait for a message of every other host of a group."""

    gathering: int
    """the number of the gathering"""


class AtGroup(State):
    """A wait for members of a group."""

    namespace: str
    """the namespace of the group"""
    group: str
    """the group"""
    least: int
    """the number of members waited for"""


class AtClaim(State):
    """A request for hosts: it waits, or its client has not confirmed the hosts."""

    test: int
    """the number of the test"""
    wants: tuple[Want, ...]
    """the hosts that it asks for"""
    claims: tuple[int, ...]
    """the numbers of the claims that it was granted; empty while it waits"""


class AtProcess(State):
    """A wait for the end of a process."""

    process: int
    """the number of the process"""


class AtDeletion(State):
    """A deletion that waits for the ends of deleted processes."""

    ending: tuple[int, ...]
    """the numbers of the processes that have not ended"""


# Each of these classes has a required field that the other classes do not have. The fields of a JSON object therefore identify
# its class. The reader of records does not know this alias, so KeptWait repeats the list.
At: TypeAlias = (
    AtBarrier
    | AtSemaphore
    | AtLock
    | AtExchange
    | AtEvents
    | AtTopic
    | AtGathering
    | AtGroup
    | AtClaim
    | AtProcess
    | AtDeletion
)


class KeptWait(State):
    """A live arrival. Its key is a number that grows with each arrival."""

    arrival: str
    """its id"""
    host: str
    """the host of the client that waits or holds"""
    client: str
    """the number of its connection on its host"""
    principal: Principal | None
    """the principal of that client; ``null`` if it is not known"""
    name: str
    """the name of its member or host"""
    since: float
    """the time of its arrival"""
    timeout: float | None
    """its timeout in seconds; ``null`` without a timeout"""
    within: str
    """the arrival id of the hold on whose behalf it waits; empty if there is none"""
    order: int
    """a number that grows each time an arrival gets a client, or a hold begins to lapse"""
    granted: KeptToken | KeptLevel | KeptObjects | None
    """the value of its grant; ``null`` while it waits"""
    held: str | None
    """the holder of the grant: ``BY_CLIENT`` or ``BY_HOST``; ``null`` if the grant is not confirmed"""
    at: (
        AtBarrier
        | AtSemaphore
        | AtLock
        | AtExchange
        | AtEvents
        | AtTopic
        | AtGathering
        | AtGroup
        | AtClaim
        | AtProcess
        | AtDeletion
    )
    """the object at which it waits, and the fields for this kind of object"""
    lapses: float | None = None
    """the time at which the hub takes the hold back because its host is lost; ``null`` if the host is not lost"""


class KeptResult(State):
    """The outcome of an ended arrival, until its client confirms it. The key is the host and the arrival id."""

    number: int
    """a number that grows with each stored result"""
    client: str
    """the number of the connection of its client, on its host"""
    until: float
    """the time at which it is forgotten"""
    value: (
        KeptReleased
        | KeptToken
        | KeptLevel
        | KeptExchanged
        | KeptNames
        | KeptPosted
        | KeptMessages
        | KeptObjects
        | KeptEnded
        | None
    )
    """the result; ``null`` for a failure"""
    error: KeptError | None
    """the failure; ``null`` for a success"""
    taken: AtSemaphore | AtClaim | None = None
    """the units or hosts that it has taken, which return if its client gives it up; ``null`` if there are none"""
