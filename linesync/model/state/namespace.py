"""The state of a namespace."""

from __future__ import annotations

from .record import State

__all__ = ["NamespaceOwner", "NamespaceState"]


class NamespaceOwner(State):
    """The owner of a namespace: a process, or a script's connection."""

    host: str
    """its host"""
    pid: int | None
    """the process, or ``null`` if a script's connection owns it"""
    client: str | None
    """the number of that connection, or ``null``"""
    command: str
    """what the owner runs"""


class NamespaceState(State):
    """A namespace that has an owner or is in use."""

    name: str
    """the namespace"""
    since: float | None
    """the seconds since it began; ``null`` without an owner"""
    owner: NamespaceOwner | None
    """``null``, or an object: ``host``; ``pid`` (``null`` if a script's connection owns it); ``client`` (the number of that
    connection, or ``null``); ``command`` (what the owner runs)"""
    things: int
    """how many barriers, semaphores, locks, exchanges, events and topics it has"""
