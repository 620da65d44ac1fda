"""The operations between the hub and the agents."""

from __future__ import annotations

from .codec import Message

__all__ = [
    "Activity",
    "ClientGone",
    "Concurrent",
    "Continue",
    "Drain",
    "Note",
    "Register",
]


class Register(Message):
    """Agent to hub: register this host. Reply: the hub's boot id; option ``lease``: seconds, if they are not 20."""

    VERB = "register"
    name: str
    boot: str
    """The boot id of the agent, eight characters."""
    capabilities: tuple[str, ...] = ()
    published: tuple[str, ...] = ()
    """``key=value`` texts."""
    system: str = ""
    """The boot id of its system, up to 64 characters; empty if it is not known."""


class Continue(Message):
    """Client or agent to hub, first in a new session: this is the session that the restart of the hub has interrupted. Reply:
    the number of the session, then the ids of the requests that the hub has and has not answered; option ``lease`` as for
    ``register``."""

    VERB = "continue"
    hub: str
    """The hub's nonce in the earlier session."""
    own: str
    """The sender's nonce in the earlier session."""


class Drain(Message):
    """Client to hub: begin no new work, wait for what runs, and stop for an upgrade. The reply comes when the hub has stopped.
    The drain ends early with the client, or when the client withdraws the request."""

    VERB = "drain"
    timeout: float | None = None


class ClientGone(Message):
    """Note, agent to hub: a script's connection has ended."""

    VERB = "gone"
    client: str


class Concurrent(Message):
    """Note, client to hub or agent: this client does several things at the same time, so a wait does not stop it."""

    VERB = "concurrent"


class Activity(Message):
    """Hub to agent: a question whether the agent is alive and which clients can act on its host. Reply: the number of remote
    commands that run there, then the number of each script, with a ``*`` if it does several things at the same time."""

    VERB = "activity"


class Note(Message):
    """Note, agent to client: a sentence for the person who waits."""

    VERB = "note"
    text: str
