"""The complete state of a hub."""

from __future__ import annotations

from .group import GroupState
from .hosts import HostState
from .record import State
from .sync.barrier import BarrierState
from .sync.event import EventState
from .sync.exchange import ExchangeState
from .sync.lock import LockState
from .sync.semaphore import SemaphoreState
from .sync.topic import TopicState

__all__ = ["ClientState", "Remembered", "Status"]


class Remembered(State):
    """The number of arrivals and results that the hub keeps."""

    waits: int
    """open arrivals"""
    deadlines: int
    """open arrivals with a timeout"""
    results: int
    """results that are kept until they are confirmed"""


class ClientState(State):
    """An agent, or a script that has live arrivals (waits or holds)."""

    client: str
    """the number of its connection on its host"""
    host: str
    """the host it runs on; ``hub`` for the controller"""
    script: str
    """the number of the script on its host; empty for the agent"""
    uid: int | None
    """its user id, if it uses a unix socket on the hub's machine; else ``null``"""
    line: str
    """the line to it, as the hub names it"""
    waits: int
    """the number of its arrivals"""


class Status(State):
    """The complete state of a hub."""

    hosts: tuple[HostState, ...]
    """the rows of [hosts](#hosts)"""
    barriers: tuple[BarrierState, ...]
    """the [barriers](#barriers) that are not complete"""
    semaphores: tuple[SemaphoreState, ...]
    """the [semaphores](#semaphores) in use"""
    locks: tuple[LockState, ...]
    """the [locks](#locks) that have an owner"""
    exchanges: tuple[ExchangeState, ...]
    """the [exchanges](#exchanges) that are not complete"""
    events: tuple[EventState, ...]
    """the [events](#events) that are set or waited for"""
    topics: tuple[TopicState, ...]
    """the IDs of messages ([topics](#topics)) that have messages or waits"""
    held: Remembered
    """the amount of state that the hub keeps: an object with ``waits`` (open arrivals), ``deadlines`` (of these, those
    with a timeout), ``results`` (kept until they are confirmed)"""
    clients: tuple[ClientState, ...]
    """the [agents and scripts](#clients)"""
    drain: str = ""
    """the reason why a drain of the hub still waits; empty if the hub is not being drained"""
    groups: tuple[GroupState, ...] = ()
    """the [groups](#groups)"""
