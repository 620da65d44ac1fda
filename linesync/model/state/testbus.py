"""The objects of the test bus."""

from __future__ import annotations

from .namespace import OwnerState
from .record import State

__all__ = ["BusState", "ClaimingState", "ObjectState", "RunOptions", "Want"]


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


class RunOptions(State):
    """How a process runs."""

    parallel: bool = False
    """whether it does not wait for other processes on the host"""
    background: bool = False
    """whether it continues when its client ends"""
    user: str = ""
    """the user; empty for the user of the agent"""
    terminal: bool = False
    """whether it runs on a terminal"""
    timeout: float | None = None
    """seconds after which the host ends it; ``null`` without a limit"""
    stdin: str = ""
    """the tag of the file that it reads as stdin; empty for none"""
    script: str = ""
    """the tag of the file that it runs, whose path becomes the first argument; empty for none"""
    files: tuple[str, ...] = ()
    """the tags of files that it needs in addition to those in its arguments"""


class ObjectState(State):
    """An object of the test bus."""

    handle: str
    """the text that identifies it"""
    kind: str
    """``host``, ``test``, ``claim``, ``file``, ``command`` or ``process``"""
    name: str
    """its name; for a claim, the role of the host; for a file, its tag"""
    parent: str | None
    """the handle of the object above it; ``null`` for a root"""
    variables: dict[str, str]
    """the variables that were set at it"""
    host: str | None = None
    """for a claim or a process, the host"""
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
    """for a test, a claim or a process, seconds since it was created"""
    digest: str | None = None
    """for a file, the SHA-256 of its data"""
    size: int | None = None
    """for a file, its size in bytes"""
    mode: int | None = None
    """for a file, its permission bits"""
    arguments: tuple[str, ...] | None = None
    """for a command, the program and its arguments, before the substitution"""

    state: str | None = None
    """for a process, ``waiting``, ``fetching``, ``running``, ``exited``, ``crashed``, ``timed out``, ``could not start`` or
    ``host lost``"""
    status: int | None = None
    """for a process, its exit status"""
    signal: int | None = None
    """for a process, the number of the signal that ended it"""
    why: str | None = None
    """for a process, the reason why it could not start, or was lost"""


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
