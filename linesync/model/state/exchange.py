"""The state of an exchange."""

from __future__ import annotations

from .record import State, Waiting

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
    """who arrived, in order: objects with ``name``, ``client`` and ``waiting``"""
    generation: int
    """which use of the name this is, from 1"""
    count: int
    """how many members there are"""
    given: tuple[str, ...]
    """the members whose data the hub has, the first 100"""
    missing: dict[str, str]
    """the others, the first 100: member to reason"""
    gone: dict[str, str]
    """who came and left, the first 100: name to cause"""
