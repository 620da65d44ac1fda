"""The state of a barrier."""

from __future__ import annotations

from .record import State, Waiting

__all__ = ["BarrierState"]


class BarrierState(State):
    """An open generation of a barrier."""

    namespace: str
    """its namespace"""
    name: str
    """the barrier"""
    count: int
    """how many arrivals it takes"""
    members: tuple[str, ...] | None
    """their names, sorted; ``null`` for a barrier by count"""
    reuse: str
    """``cyclic``, ``once``, or ``lingering`` with the seconds"""
    generation: int
    """which use of the name this is, from 1"""
    missing: int | dict[str, str]
    """by members: member to reason; by count: how many"""
    unheard: tuple[str, ...]
    """hosts that were asked whether they live, before the release"""
    arrived: tuple[Waiting, ...]
    """who arrived, in order: objects with ``name``, ``client`` and ``waiting``"""
    gone: dict[str, str]
    """who arrived and left: name to cause"""
