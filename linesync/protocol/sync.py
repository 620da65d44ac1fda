"""The operations that synchronise hosts."""

from __future__ import annotations

from .codec import Message

__all__ = [
    "BARRIER_REPLY",
    "GIVEN_UP",
    "OPEN_AGAIN",
    "Barrier",
    "Commit",
    "Confirm",
    "EventSet",
    "EventWait",
    "ExchangeOpen",
    "ExchangePart",
    "GiveBack",
    "Lock",
    "NamespaceBegin",
    "NamespaceEnd",
    "OwnerGone",
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
    """The number of parties; with members, 0 or the number of members."""
    ns: str = "default"
    timeout: float | None = None
    """Seconds; 0 polls; if absent, there is no limit."""
    member: str = ""
    """The member that arrives; with members, the client's host if it is absent."""
    arrival: str = ""
    """The id of this arrival. A retry with the same id does not arrive again. If absent, this request gets its own id."""
    within: str = ""
    """The arrival id of a hold (a lock or units) that the client has during the wait. The hub needs it to find deadlocks."""
    who: bool = False
    """Whether the reply names the parties even if there are more than 32."""
    Members: str = ""
    """The members, as a folded list."""
    Reuse: str = ""
    """``once`` or ``linger=S``; cyclic if absent."""
    Tolerate: bool = False
    """Whether the barrier does not wait for lost members."""
    Rejoin: bool = False
    """Whether a member that has arrived may restart and arrive again."""
    Abort: str = ""
    """The reason of an abort, which fails the barrier for all parties; empty for an arrival."""


BARRIER_REPLY = ("generation", "position", "parties ...", "count=", "lost=")
"""The fields of the reply. The parties are in order of arrival; they are omitted if there are more than 32 and the request did
not ask for them. ``count``: the number of parties, if it is not the number of names. ``lost``: the lost members that the
barrier did not wait for."""


class Semaphore(Message):
    """Client to hub: give units (``delta`` above 0), take units (below 0) or read the value (0). Reply: the value after the
    request."""

    VERB = "sem"
    name: str
    delta: int
    ns: str = "default"
    timeout: float | None = None
    arrival: str = ""
    within: str = ""
    Hold: bool = False
    """Whether the client holds the units: they return to the semaphore when the client gives them back or is gone."""
    Bound: int = 0
    """The maximum number of units of the semaphore; 0 does not change the bound."""


class Lock(Message):
    """Client to hub: take a lock. Reply: the fencing token. ``giveback``, ``unlock`` or the end of its owner releases it."""

    VERB = "lock"
    name: str
    ns: str = "default"
    timeout: float | None = None
    arrival: str = ""
    within: str = ""
    Keep: bool = False
    """Whether the client's host owns the lock, even after the client has ended."""


class Unlock(Message):
    """Client to hub: give back a lock that this host owns. Reply: empty."""

    VERB = "unlock"
    name: str
    token: int
    ns: str = "default"


class GiveBack(Message):
    """Client to hub: give back a hold: a lock or units. Reply: empty, or an error if it is no longer held."""

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
    """Client to hub: wait until all of these events are set at the same time, or until any of them is set. Reply: the names
    of the set events."""

    VERB = "await"
    names: tuple[str, ...]
    ns: str = "default"
    timeout: float | None = None
    arrival: str = ""
    within: str = ""
    Any: bool = False


class Send(Message):
    """Client to hub: add a message to a topic. Reply: its number in the topic, from 1."""

    VERB = "send"
    topic: str
    items: tuple[str, ...]
    """The contents: any texts, by convention ``key=value``."""
    ns: str = "default"
    member: str = ""
    """The sender; the client's host if it is absent."""
    arrival: str = ""


class Receive(Message):
    """Client to hub: wait for the message of a topic with a given number, and read the topic from this message on. Reply:
    JSON in one field, a list of ``[number, sender, [item, ...]]``."""

    VERB = "receive"
    topic: str
    first: int
    """The number of the message to wait for; the reply also has later messages that exist already."""
    ns: str = "default"
    timeout: float | None = None
    member: str = ""
    arrival: str = ""
    within: str = ""
    most: int = 100
    """The maximum number of messages in the reply."""
    Others: bool = False
    """Whether the reader's own messages are skipped: ``first`` then counts only the messages of other members."""


class ReceiveAll(Message):
    """Client to hub: wait until each other host of the reader's group (or of one role in it) has sent to a topic. Reply: the
    last message of each host, in the form of the reply to receive."""

    VERB = "gather"
    topic: str
    ns: str = "default"
    timeout: float | None = None
    member: str = ""
    arrival: str = ""
    within: str = ""
    Role: str = ""


class Reset(Message):
    """Client to hub: forget all objects with these names (all names if the list is empty), and fail their waits. Reply: the
    number of forgotten objects and the number of failed waits."""

    VERB = "reset"
    names: tuple[str, ...]
    ns: str = "default"


class NamespaceBegin(Message):
    """Client to hub: begin a namespace, which ends with its owner. Reply: empty. The owner is a process on the client's host,
    or the client itself if there is no ``pid``."""

    VERB = "namespace"
    name: str
    """A name that begins with ``@`` can be used only between this request and the end of the namespace."""
    pid: int = 0
    """The process id of the owner."""
    begin: str = ""
    """The start time of the owner, in clock ticks since its host booted."""
    command: str = ""
    """The command of the owner, for display; at most 200 characters."""
    watched: bool = False
    """Whether an agent has relayed the request, watches the owner, and will send ``ownergone``."""


class NamespaceEnd(Message):
    """Client to hub: end a namespace that has an owner. Reply: the same as for ``reset``."""

    VERB = "endnamespace"
    name: str


class OwnerGone(Message):
    """Note, agent to hub: a process that may own namespaces has ended."""

    VERB = "ownergone"
    pid: int
    begin: str


class Commit(Message):
    """Client to hub: make the grant of this request final, because the client has received it. Reply: empty, or the reason
    why the hub has taken the grant back. The client reports success only after that reply."""

    VERB = "commit"
    request: str
    """The id of the request."""
    arrival: str = ""


class Confirm(Message):
    """Note, client to hub: the client has received the outcome of this request, so the hub can forget it."""

    VERB = "confirm"
    request: str
    """The id of the request."""
    arrival: str = ""


class Withdraw(Message):
    """Note, client to hub: the client gives up the request, which then gets an error as its reply."""

    VERB = "withdraw"
    request: str
    arrival: str = ""


GIVEN_UP = "given up"
"""The reason with which a client resets the channel of an exchange to give up the exchange. If the channel ends in another
way before the data of all members is complete, the client counts as dead."""
OPEN_AGAIN = "the hub has restarted; open the channel again"
"""The reason with which an agent resets the channel of an exchange whose hub has died, while the session with the hub may
continue. The script opens another channel for the same arrival."""


class Revoked(Message):
    """Note, hub to client: a hold of the client has ended although the client did not give it back."""

    VERB = "revoked"
    client: str
    """The agent's number of the script; ``-`` on a script's own connection."""
    arrival: str
    """The arrival of the hold; empty for all holds of the client."""
    why: str


class ExchangeOpen(Message):
    """Client to hub: give data, and get the data of all members.

    The hub answers ``ok give``, and the client sends its bytes on stream 0. (For a retry whose bytes the hub already has, the
    hub answers ``ok had``.) When all members have given their data, the hub sends the bytes of each member on stream 1,
    sorted by name, with an ExchangePart before each member. At the end it sends FileEnd for all these bytes in that order.
    The client checks the bytes and ends its side of the channel, which confirms the arrival. At any time the hub may send an
    error instead.

    When the session continues after a restart of the hub, the client opens another channel for the same arrival. The hub
    asks only for the bytes that it does not have: ``ok give`` then has the options ``at``, the number of bytes that it has,
    and ``sha256``, their digest.
    """

    VERB = "exchange"
    name: str
    members: str
    """A folded list of members."""
    size: int
    """The number of bytes that the client will send."""
    ns: str = "default"
    timeout: float | None = None
    member: str = ""
    """The member that gives; the client's host if it is absent."""
    arrival: str = ""
    within: str = ""
    again: bool = False
    """The client has sent this arrival on an earlier channel, which the death of the hub ended."""
    known: bool = False
    """The hub has answered this arrival on an earlier channel, so it must know it."""
    Parts: int = 0
    """How many ExchangePart the client has got on earlier channels; the hub omits them."""
    Got: int = 0
    """How many bytes on stream 1 the client has got on earlier channels; the hub omits them."""


class ExchangePart(Message):
    """Hub to client, inside an exchange: the member whose bytes follow."""

    VERB = "part"
    member: str
    size: int
    total: int = 0
    """In the first part, the number of bytes of all members together; else 0."""
