"""The state of a semaphore."""

from __future__ import annotations

from ..record import State

__all__ = ["Loan", "SemaphoreState", "Taker"]


class Taker(State):
    """A client that waits for units."""

    name: str
    """the host that waits"""
    client: str
    """the number of its connection on its host"""
    wants: int
    """the units that it waits for, 1 or more"""
    waiting: float
    """seconds since it arrived"""


class Loan(State):
    """Units that a client has and that may return to the semaphore."""

    name: str
    """the host that has the units"""
    client: str
    """the number of its connection on its host"""
    units: int
    """the number of units, 1 or more"""
    lost: bool = False
    """whether its host is lost, so that the units return when the lease of the host ends"""


class SemaphoreState(State):
    """A semaphore."""

    namespace: str
    """its namespace"""
    name: str
    """the semaphore"""
    value: int
    """the units that are left, 0 or more"""
    queue: tuple[Taker, ...]
    """the waiting clients, in order: objects with ``name``, ``client``, ``wants`` (units) and ``waiting``"""
    bound: int | None
    """the largest number of units that it may have, or ``null``"""
    unconfirmed: tuple[Loan, ...]
    """the clients that have not confirmed their units: objects with ``name``, ``client``, ``units`` and ``lost``"""
    holders: tuple[Loan, ...]
    """the clients that hold units: objects with ``name``, ``client``, ``units`` and ``lost`` (its host is lost, and the units
    return when the lease of the host ends)"""
