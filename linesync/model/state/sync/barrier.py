"""The state of a barrier."""

from __future__ import annotations

from ..record import State, Waiting

__all__ = ["BarrierState"]


class BarrierState(State):
    """An open generation of a barrier."""

    namespace: str
    """its namespace"""
    name: str
    """the barrier"""
    count: int
    """the number of arrivals that it needs"""
    members: tuple[str, ...] | None
    """the names of its members, sorted; ``null`` for a barrier by count"""
    reuse: str
    """``cyclic``, ``once``, or ``lingering`` with the seconds"""
    generation: int
    """the number of this use of the name, from 1"""
    missing: int | dict[str, str]
    """the arrivals that are missing: for a barrier by members, an object (member to reason); by count, a number"""
    unheard: tuple[str, ...]
    """the hosts that must still answer before the release"""
    arrived: tuple[Waiting, ...]
    """the arrivals that wait, in order: objects with ``name``, ``client`` and ``waiting``"""
    gone: dict[str, str]
    """the members that arrived and left: name to cause"""
