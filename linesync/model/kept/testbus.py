"""The objects of a test bus, as stored records."""

from __future__ import annotations

from ..state.principal import Principal
from ..state.record import State

__all__ = [
    "KeptClaim",
    "KeptCommand",
    "KeptEnding",
    "KeptFile",
    "KeptObject",
    "KeptPlaced",
    "KeptProcess",
    "KeptStart",
    "KeptTest",
    "KeptTestHost",
    "KeptVariable",
]

# Each of these classes has a required field that the other classes do not have. The fields of a JSON object therefore
# identify its class.


class KeptTestHost(State):
    """A machine."""

    host: str
    """its name"""
    unsure: bool = False
    """whether processes of earlier tests may still run on it"""
    system: str = ""
    """the boot id of its system when it was lost with processes"""


class KeptTest(State):
    """A test."""

    since: float
    """the time at which it was created"""
    keep: bool
    """whether the owner's host owns it"""
    owner_host: str
    """the host of the owner; empty for a test without an owner of its own"""
    client: str
    """the number of the client's connection on its host"""
    principal: Principal | None
    """the principal of that client; ``null`` if it is not known"""
    pid: int
    """the id of the process that owns it; 0 if the client owns it"""
    begin: str
    """the start time of that process"""
    command: str
    """the command that the owner runs"""


class KeptClaim(State):
    """A host that a test uses."""

    on: int
    """the number of the host"""
    share: bool
    """whether other tests may use the host at the same time"""
    since: float
    """the time at which the test got the host"""


class KeptFile(State):
    """A file."""

    digest: str
    """the SHA-256 of its data"""
    length: int
    """its size in bytes"""
    mode: int
    """its permission bits"""


class KeptCommand(State):
    """A command line."""

    arguments: tuple[str, ...]
    """the program and its arguments"""


class KeptProcess(State):
    """One run of a command on a claimed host."""

    on: int
    """the number of the claim"""
    state: str
    """its state"""
    parallel: bool
    """whether it does not wait for other processes on the host"""
    client_host: str
    """the host of the client that it belongs to; empty for a process in the background"""
    client: str
    """the number of that client's connection"""
    created: float
    """the time at which it was created"""
    started: float | None
    """the time at which it was sent to its host; ``null`` before"""
    ended: float | None
    """the time at which it ended; ``null`` before"""
    status: int | None
    """its exit status; ``null`` if it has none"""
    signal: int | None
    """the number of the signal that ended it; ``null`` if none did"""
    core: bool
    """whether it left a core dump"""
    output: int
    """the number of bytes of its output"""
    why: str
    """the reason why it could not start, or was lost"""
    system: str
    """the boot id of the system on which it was started"""


class KeptStart(State):
    """What a host needs to start a process. The key is the number of the process."""

    variables: dict[str, str]
    """its variables"""
    files: dict[str, KeptFile]
    """its files, by tag"""
    user: str
    """the user; empty for the user of the agent"""
    terminal: bool
    """whether it runs on a terminal"""
    timeout: float | None
    """its timeout in seconds; ``null`` without one"""
    stdin: str
    """the tag of the file that it reads as stdin; empty for none"""
    script: str
    """the tag of the file that it runs, whose path is the first argument; empty for none"""


class KeptEnding(State):
    """A deleted process whose host has not reported its end. The key is the number of the process."""

    host: str
    """the host"""
    share: bool
    """whether its test shared the host"""


class KeptPlaced(State):
    """A file on a host. The key is the host and the digest."""

    arrived: bool
    """whether the host has all of it"""


class KeptObject(State):
    """An object of a test bus. The key is its number, which grows with each object."""

    parent: int
    """the number of the object above it; 0 for a root"""
    name: str
    """its name"""
    what: KeptTestHost | KeptTest | KeptClaim | KeptFile | KeptCommand | KeptProcess
    """the fields that depend on its kind"""


class KeptVariable(State):
    """A variable. The key is the number of its object and its name."""

    value: str
    """its value"""
