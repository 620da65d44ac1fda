"""The operations that keep hosts in step."""

from __future__ import annotations

from .codec import Message

__all__ = [
    "BARRIER_REPLY",
    "GIVEN_UP",
    "Barrier",
    "Commit",
    "Confirm",
    "EventSet",
    "EventWait",
    "ExchangeOpen",
    "ExchangePart",
    "GiveBack",
    "Lock",
    "Receive",
    "ReceiveAll",
    "Reset",
    "Revoked",
    "Semaphore",
    "Send",
    "Unlock",
    "Withdraw",
]


class Barrier(Message):
    """Client to hub: arrive at a barrier. Reply: BARRIER_REPLY."""

    VERB = "barrier"
    name: str
    count: int
    """How many parties; with members, 0 or how many they are."""
    ns: str = "default"
    timeout: float | None = None
    """Seconds; 0 polls, absent waits for ever."""
    member: str = ""
    """Whom the arrival is for; with members, the client's host where it is absent."""
    arrival: str = ""
    """An id of this arrival's own; a retry with the same id joins once. Absent: one for this request."""
    within: str = ""
    """The arrival id of what the client holds meanwhile (a lock, units), for the search for deadlocks."""
    who: bool = False
    """The reply names the parties even when they are more than 32."""
    Members: str = ""
    """Who takes part, as a folded list of members."""
    Reuse: str = ""
    """``once``, ``linger=S``; absent: cyclic."""
    Tolerate: bool = False
    """Lost members are not waited for."""
    Abort: str = ""
    """A reason: the barrier fails for all."""


BARRIER_REPLY = ("generation", "position", "parties ...", "count=", "lost=")
"""The parties in order of arrival; left out when they are more than 32 and were not asked for. ``count``: how
many they are, where that is not how many are named. ``lost``: the members that were lost and not waited for."""


class Semaphore(Message):
    """Client to hub: give (above 0), take (below 0) or read (0). Reply: the value then."""

    VERB = "sem"
    name: str
    delta: int
    ns: str = "default"
    timeout: float | None = None
    arrival: str = ""
    within: str = ""
    Hold: bool = False
    """What is taken goes back when the client gives it back, or is gone."""
    Bound: int = 0
    """The most units that it may ever have; 0: as it is, or no bound."""


class Lock(Message):
    """Client to hub: take a lock. Reply: the fencing token. It goes back by ``giveback`` or ``unlock``, or with its owner."""

    VERB = "lock"
    name: str
    ns: str = "default"
    timeout: float | None = None
    arrival: str = ""
    within: str = ""
    Keep: bool = False
    """The client's host owns it, over the client's end."""


class Unlock(Message):
    """Client to hub: give a lock back that this host owns. Reply: empty."""

    VERB = "unlock"
    name: str
    token: int
    ns: str = "default"


class GiveBack(Message):
    """Client to hub: give back what was taken to hold: a lock, units. Reply: empty, or that it is held no more."""

    VERB = "giveback"
    arrival: str


class EventSet(Message):
    """Client to hub: set events, or clear them. Reply: empty."""

    VERB = "event"
    names: tuple[str, ...]
    ns: str = "default"
    arrival: str = ""
    Clear: bool = False


class EventWait(Message):
    """Client to hub: wait until all of these events are set at once, or any. Reply: those that are set."""

    VERB = "await"
    names: tuple[str, ...]
    ns: str = "default"
    timeout: float | None = None
    arrival: str = ""
    within: str = ""
    Any: bool = False


class Send(Message):
    """Client to hub: add a message to a topic. Reply: its number there, from 1."""

    VERB = "send"
    topic: str
    items: tuple[str, ...]
    """What it says: any texts; ``key=value`` by custom."""
    ns: str = "default"
    member: str = ""
    """Who sends; the client's host where it is absent."""
    arrival: str = ""


class Receive(Message):
    """Client to hub: read a topic, waiting for its message of a number. Reply: one word of JSON, a list of
    ``[number, sender, [item, ...]]``."""

    VERB = "receive"
    topic: str
    first: int
    """The number of the message to wait for; later ones that are there come with it."""
    ns: str = "default"
    timeout: float | None = None
    member: str = ""
    arrival: str = ""
    within: str = ""
    most: int = 100
    """How many come at most."""
    Others: bool = False
    """The reader's own messages do not count, and do not come: ``first`` is a number of the others' messages."""


class ReceiveAll(Message):
    """Client to hub: wait until each other host of the reader's group (of one role in it) has sent to a topic. Reply: as
    that of receive, the last message of each."""

    VERB = "gather"
    topic: str
    ns: str = "default"
    timeout: float | None = None
    member: str = ""
    arrival: str = ""
    within: str = ""
    Role: str = ""


class Reset(Message):
    """Client to hub: forget what is left under these names (all names: none given), failing who still waits. Reply: how
    many things were forgotten, how many waits failed."""

    VERB = "reset"
    names: tuple[str, ...]
    ns: str = "default"


class Commit(Message):
    """Client to hub: the grant that answered this request has arrived; make it final. Reply: empty, or the reason why the
    grant has gone back. The client reports success only after that reply."""

    VERB = "commit"
    request: str
    """The id of the request."""
    arrival: str = ""


class Confirm(Message):
    """Note, client to hub: the outcome that answered this request has arrived, so the hub can forget it."""

    VERB = "confirm"
    request: str
    """The id of the request."""
    arrival: str = ""


class Withdraw(Message):
    """Note, client to hub: the request is given up; its error reply follows."""

    VERB = "withdraw"
    request: str
    arrival: str = ""


GIVEN_UP = "given up"
"""The reason with which a client resets an exchange that it no longer wants. Any other end of the channel before the data
of all is there is the client's death."""


class Revoked(Message):
    """Note, hub to client: what it held under this arrival has gone back without its doing."""

    VERB = "revoked"
    client: str
    """The agent's number of the script, ``-`` on a script's own connection."""
    arrival: str
    """Empty: everything it held."""
    why: str


class ExchangeOpen(Message):
    """Client to hub: give data, get that of all members.

    The hub answers ``ok give``; then the bytes come on stream 0. (It answers ``ok had`` where a retry's bytes are there
    already.) Once all have given, it sends an ExchangePart before the bytes of each member, sorted by name, on stream 1, and
    at last FileEnd of all these bytes in that order. The client ends its side when it has checked them: that confirms the
    arrival. In place of any of these the hub sends an error.
    """

    VERB = "exchange"
    name: str
    members: str
    """A folded list of members."""
    size: int
    """How many bytes will come."""
    ns: str = "default"
    timeout: float | None = None
    member: str = ""
    """Who gives; the client's host where it is absent."""
    arrival: str = ""
    within: str = ""


class ExchangePart(Message):
    """Hub to client, inside an exchange: whose bytes come next."""

    VERB = "part"
    member: str
    size: int
    total: int = 0
    """With the first part: the bytes of all."""
