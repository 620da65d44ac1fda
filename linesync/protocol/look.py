"""The operations that show the state: hosts, waits, lines and console logs."""

from __future__ import annotations

from .codec import Message

__all__ = [
    "ChangesOpen",
    "ConsoleOpen",
    "Hosts",
    "Lease",
    "Links",
    "Namespaces",
    "PolicyCheck",
    "Status",
    "TraceOpen",
]


class Hosts(Message):
    """Client to hub: ask for the hosts. Reply: JSON in one field."""

    VERB = "hosts"


class Status(Message):
    """Client to hub: ask for the complete state. Reply: JSON in one field."""

    VERB = "status"


class Lease(Message):
    """Client to hub or agent: ask for the age of the lease of the client's host. Reply: the seconds since the hub has
    certainly received a frame from the host; option ``lease``: the lease in seconds, if it is not 20."""

    VERB = "lease"


class Links(Message):
    """Client to hub or agent: ask for its lines and their counters. Reply: JSON in one field."""

    VERB = "links"


class Namespaces(Message):
    """Client to hub: ask for the namespaces. Reply: JSON in one field."""

    VERB = "namespaces"


class PolicyCheck(Message):
    """Client to hub: would the hub's policy allow an operation? Reply: JSON in one field."""

    VERB = "policy"
    source: str
    """The host of the principal; ``hub`` for a script on the controller."""
    to: str
    """The host that the operation works on."""
    permission: str
    """The permission that the operation needs."""
    user: int = -1
    """The user id of a script on the controller; -1 for none."""
    Connect: str = ""
    """For the permission ``forward``: the address to connect to."""
    Listen: str = ""
    """For the permission ``forward``: the address to listen on."""


class ConsoleOpen(Message):
    """Client to hub: ask for the console log of a host's line, on stream 1; with ``follow``, later text too. The hub writes
    the bytes of stream 0 to the line. The message ``break`` sends a BREAK."""

    VERB = "console"
    host: str
    follow: bool = False
    type: bool = False


class TraceOpen(Message):
    """Client to hub: ask for a live trace of the frames on a host's line, one text line for each frame, on stream 1."""

    VERB = "trace"
    host: str


class ChangesOpen(Message):
    """Client to hub: ask for all changes of the state from this time on, one line of JSON for each, on stream 1."""

    VERB = "changes"
