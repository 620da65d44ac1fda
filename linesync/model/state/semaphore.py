"""The state of a semaphore."""

from __future__ import annotations

from .record import State

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
    """Units that a client was given and that may return."""

    name: str
    """the host that has the units"""
    client: str
    """the number of its connection on its host"""
    units: int
    """how many units it has, 1 or more"""
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
    """who waits, in order: objects with ``name``, ``client``, ``wants`` (units) and ``waiting``"""
    bound: int | None
    """the most units it may have, or ``null``"""
    unconfirmed: tuple[Loan, ...]
    """who was given units and has not confirmed them: objects with ``name``, ``client``, ``units`` and ``lost``"""
    holders: tuple[Loan, ...]
    """who holds units: objects with ``name``, ``client``, ``units`` and ``lost`` (its host is lost, and the units return
    when the lease of the host ends)"""
