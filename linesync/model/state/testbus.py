"""The objects of the test bus."""

from __future__ import annotations

from .namespace import OwnerState
from .record import State

__all__ = ["BusState", "ClaimingState", "ObjectState", "Want"]


class Want(State):
    """A host that a test asks for."""

    role: str
    """the role of the host in the test"""
    host: str = ""
    """the name of the host; empty for any host except the hub"""
    capabilities: tuple[str, ...] = ()
    """the capabilities that the host must have"""
    share: bool = False
    """whether other tests may use the host at the same time"""

    def __str__(self) -> str:
        if self.host:
            return f"host {self.host}"
        plural = "capability" if len(self.capabilities) == 1 else "capabilities"
        return f"a host with the {plural} {', '.join(self.capabilities)}" if self.capabilities else "any host"


class ObjectState(State):
    """An object of the test bus."""

    handle: str
    """the text that identifies it"""
    kind: str
    """``host``, ``test``, ``claim``, ``file`` or ``command``"""
    name: str
    """its name; for a claim, the role of the host; for a file, its tag"""
    parent: str | None
    """the handle of the object above it; ``null`` for a root"""
    variables: dict[str, str]
    """the variables that were set at it"""
    host: str | None = None
    """for a claim, the host"""
    share: bool | None = None
    """for a claim, whether other tests may use the host at the same time"""
    up: bool | None = None
    """for a host, whether its agent is alive"""
    capabilities: tuple[str, ...] | None = None
    """for a host, its capabilities"""
    owner: OwnerState | None = None
    """for a test, the process or the connection that owns it; ``null`` for a test in another test"""
    keep: bool | None = None
    """for a test, whether it continues when its owner ends, until the owner's host is lost"""
    since: float | None = None
    """for a test or a claim, seconds since it began"""
    digest: str | None = None
    """for a file, the SHA-256 of its data"""
    size: int | None = None
    """for a file, its size in bytes"""
    mode: int | None = None
    """for a file, its permission bits"""
    arguments: tuple[str, ...] | None = None
    """for a command, the program and its arguments, before the substitution"""


class ClaimingState(State):
    """A request for hosts that waits."""

    test: str
    """the handle of the test"""
    name: str
    """the host of the client that waits"""
    client: str
    """the number of its connection on its host"""
    waiting: float
    """seconds since it arrived"""
    wants: tuple[Want, ...]
    """the hosts that it asks for: objects with ``role``, ``host``, ``capabilities`` and ``share``"""
    missing: tuple[str, ...]
    """for each of these hosts, the reason why the test does not have it"""


class BusState(State):
    """The test bus of a hub."""

    objects: tuple[ObjectState, ...]
    """all objects, the oldest first"""
    claiming: tuple[ClaimingState, ...]
    """the requests for hosts that wait, in order"""
