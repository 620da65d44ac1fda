"""The state of an event."""

from __future__ import annotations

from ..record import State, Waiting

__all__ = ["EventState", "EventWaiting"]


class EventWaiting(Waiting):
    """A wait for events."""

    any: bool
    """whether one of several events is enough"""


class EventState(State):
    """An event that is set or waited for."""

    namespace: str
    """its namespace"""
    name: str
    """the event"""
    set: bool
    """whether it is set"""
    waiting: tuple[EventWaiting, ...]
    """the waiting clients: objects with ``name``, ``client``, ``waiting`` and ``any`` (one of several events is enough)"""
