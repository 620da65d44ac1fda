"""The state of a host."""

from __future__ import annotations

from .record import State

__all__ = ["HostState"]


class HostState(State):
    """A host that the hub knows."""

    name: str
    """the host"""
    state: str
    """``up``; ``quiet`` (its line is down, or nothing was heard for a while, and its lease still runs); or ``lost``"""
    cause: str | None
    """why it is lost: ``line lost``, ``restarted`` or ``stopped``; else ``null``"""
    why: str
    """the same in words; also says why the line of a quiet host is down; else empty"""
    since: float
    """seconds since it came up, or since it was lost"""
    heard: float
    """seconds since its last valid frame"""
    session: str
    """the id of the session that speaks for it"""
    boot: str
    """the id of its agent process"""
    line: str
    """the line to it, as the hub names it"""
    capabilities: tuple[str, ...]
    """the list of its agent's ``--capability`` options"""
    published: dict[str, str]
    """its agent's ``--publish`` options, key to value"""
