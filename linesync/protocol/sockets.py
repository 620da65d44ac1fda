"""The operations that forward sockets: connections from a host, and listening sockets on a host."""

from __future__ import annotations

from .codec import Message

__all__ = [
    "Accept",
    "Accepted",
    "Connect",
    "Connected",
    "Listen",
    "Listening",
    "RefuseConnection",
    "Turn",
    "Wide",
    "Widen",
]


class Connect(Message):
    """Client to a host: connect to an address there. Stream 0 has the bytes of both directions."""

    VERB = "connect"
    to: str
    address: str
    """The target, as :func:`~linesync.protocol.addresses.read_address` reads it."""


class Connected(Message):
    """Host to client, inside a connect: the connection is made."""

    VERB = "connected"


class Listen(Message):
    """Client to a host: listen on an address there, until the channel ends. The host sends Listening, and Accepted for each
    connection."""

    VERB = "listen"
    to: str
    address: str
    """The address, as :func:`~linesync.protocol.addresses.read_address` reads it."""


class Listening(Message):
    """Host to client: it listens."""

    VERB = "listening"
    listener: str
    """The id of the listener, which only this client knows."""
    address: str
    """The address, with the port that the system chose."""


class Accepted(Message):
    """Host to client: it has accepted a connection, which waits for the client's Accept or RefuseConnection."""

    VERB = "accepted"
    number: int
    """1 for the first connection of this listener."""
    peer: str = ""
    """The address of the other end; empty for a unix socket."""


class Accept(Message):
    """Client to a host: take a connection that a listener has accepted. Stream 0 has the bytes of both directions."""

    VERB = "accept"
    to: str
    listener: str
    number: int


class RefuseConnection(Message):
    """Client to host, inside a listen: reset an accepted connection, because its target cannot be reached."""

    VERB = "refuse"
    number: int


class Widen(Message):
    """Inside a forwarded connection. From the client: ask for a key. From the host: the client opens the bulk channel (Wide) with
    this key."""

    VERB = "widen"
    key: str = ""


class Wide(Message):
    """Client to a host: open the bulk channel of a forwarded connection."""

    VERB = "wide"
    to: str
    key: str
    """The key of the connection, which only this client knows."""


class Turn(Message):
    """Inside a forwarded connection with two channels: the sender's bytes continue on the other channel."""

    VERB = "turn"
