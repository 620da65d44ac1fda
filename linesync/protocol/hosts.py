"""The operations between the hub and the agents."""

from __future__ import annotations

from .codec import Message

__all__ = [
    "Activity",
    "ClientGone",
    "Concurrent",
    "Continue",
    "Drain",
    "GoingDown",
    "Note",
    "Register",
]


class Register(Message):
    """Agent to hub: register this host. Reply: the hub's boot id; option ``lease``: the lease in seconds, if it is not 20."""

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
    """Client or agent to hub, as the first request of a new session: continue the session that a restart of the hub has
    interrupted. Reply: the number of the session, then the ids of the requests that the hub knows and has not answered;
    option ``lease`` as for ``register``."""

    VERB = "continue"
    hub: str
    """The hub's nonce in the earlier session."""
    own: str
    """The sender's nonce in the earlier session."""


class GoingDown(Message):
    """Agent to hub, before it ends the session: the system of this host is going down, and the host may register again."""

    VERB = "goingdown"


class Drain(Message):
    """Client to hub: refuse new work, wait for the end of all running work, and stop for an upgrade. Reply: empty, when the
    hub has stopped. The drain ends early if the client ends or withdraws the request."""

    VERB = "drain"
    timeout: float | None = None


class ClientGone(Message):
    """Note, agent to hub: a script's connection has ended."""

    VERB = "gone"
    client: str


class Concurrent(Message):
    """Note, client to hub or agent: this client does several operations at the same time, so one wait does not stop it."""

    VERB = "concurrent"


class Activity(Message):
    """Hub to agent: ask for a sign of life and for the active clients of the host. Reply: the number of remote commands that
    run on the host, then the number of each script, with a ``*`` if it does several operations at the same time."""

    VERB = "activity"


class Note(Message):
    """Note, agent to client: a sentence for the user."""

    VERB = "note"
    text: str
