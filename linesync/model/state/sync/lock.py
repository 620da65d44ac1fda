"""The state of a lock."""

from __future__ import annotations

from ..record import State, Waiting

__all__ = ["LockState", "Owner"]


class Owner(State):
    """The owner of a lock."""

    name: str
    """the host that owns the lock"""
    client: str | None
    """the number of its connection on its host; None if the lock belongs to the host"""
    confirmed: bool
    """whether the owner has confirmed that it has the lock"""
    since: float
    """seconds since it got the lock"""
    lost: bool = False
    """whether its host is lost, so that the lock is free when the lease of the host ends"""


class LockState(State):
    """A lock that has an owner."""

    namespace: str
    """its namespace"""
    name: str
    """the lock"""
    token: int
    """the owner's fencing token"""
    owner: Owner | None
    """an object, or ``null``: ``name``; ``client`` (``null`` if the lock belongs to the host); ``confirmed``; ``since``
    (seconds); ``lost`` (its host is lost, and the lock is free when the lease of the host ends)"""
    queue: tuple[Waiting, ...]
    """the waiting clients, in order: objects with ``name``, ``client`` and ``waiting``"""
