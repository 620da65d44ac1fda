"""The state of an exchange."""

from __future__ import annotations

from ..record import State, Waiting

__all__ = ["ExchangeState"]


class ExchangeState(State):
    """An open generation of an exchange."""

    namespace: str
    """its namespace"""
    name: str
    """the exchange"""
    members: str
    """the list of members, folded as in ``sut[1-8]``"""
    arrived: tuple[Waiting, ...]
    """the arrivals that wait, in order: objects with ``name``, ``client`` and ``waiting``"""
    generation: int
    """the number of this use of the name, from 1"""
    count: int
    """the number of members"""
    given: tuple[str, ...]
    """the members whose data the hub has, the first 100"""
    missing: dict[str, str]
    """the other members, the first 100: member to reason"""
    gone: dict[str, str]
    """the members that arrived and left, the first 100: name to cause"""
