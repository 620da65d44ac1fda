"""The objects of a test bus, as stored records."""

from __future__ import annotations

from ..state.principal import Principal
from ..state.record import State

__all__ = [
    "KeptClaim",
    "KeptCommand",
    "KeptFile",
    "KeptObject",
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


class KeptObject(State):
    """An object of a test bus. The key is its number, which grows with each object."""

    parent: int
    """the number of the object above it; 0 for a root"""
    name: str
    """its name"""
    what: KeptTestHost | KeptTest | KeptClaim | KeptFile | KeptCommand
    """the fields that depend on its kind"""


class KeptVariable(State):
    """A variable. The key is the number of its object and its name."""

    value: str
    """its value"""
