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
    """the reason for its loss: ``line lost``, ``restarted`` or ``stopped``; else ``null``"""
    why: str
    """the reason in words, for a lost host or for a quiet host whose line is down; else empty"""
    since: float
    """seconds since it came up, or since it was lost"""
    heard: float
    """seconds since its last valid frame"""
    session: str
    """the id of its session"""
    boot: str
    """the boot id of its agent process"""
    line: str
    """the line to it, as the hub names it"""
    capabilities: tuple[str, ...]
    """the ``--capability`` options of its agent, as a list"""
    published: dict[str, str]
    """the ``--publish`` options of its agent: key to value"""
    system: str = ""
    """the boot id of its system (``/proc/sys/kernel/random/boot_id``); empty if the agent did not send it"""
