"""The state of a namespace."""

from __future__ import annotations

from .record import State

__all__ = ["NamespaceState", "OwnerState"]


class OwnerState(State):
    """The owner of a namespace: a process, or a script's connection."""

    host: str
    """the host it runs on; ``hub`` for the controller"""
    pid: int | None
    """its process id there; ``null`` if the owner is a connection"""
    client: str | None
    """the number of the connection; ``null`` if the owner is a process"""
    command: str
    """the command that it runs"""


class NamespaceState(State):
    """A namespace that has an owner or is in use."""

    name: str
    """the namespace"""
    since: float | None
    """seconds since it began; ``null`` without an owner"""
    owner: OwnerState | None
    """an object, or ``null``: ``host``; ``pid`` (``null`` if a script's connection owns it); ``client`` (the number of
    that connection, or ``null``); ``command`` (the command that the owner runs)"""
    things: int
    """the number of barriers, semaphores, locks, exchanges, events and topics in it"""
