"""The actions of the hub at a host after a change of the test bus.

The next hub repairs the loss of an action that was lost together with the hub: a host that comes back reports its claims and
files, and the hub compares the report with its state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..kept.testbus import KeptStart

__all__ = ["Action", "Drop", "Fetch", "Forget", "Kill", "Release", "Start"]


@dataclass(frozen=True, slots=True)
class Fetch:
    """A host needs a file: the hub sends the data, and reports the arrival.

    :ivar host: the host.
    :ivar digest: the SHA-256 of the data.
    """

    host: str
    digest: str


@dataclass(frozen=True, slots=True)
class Start:
    """A host starts a process. It has all files that the process needs.

    :ivar host: the host.
    :ivar process: the handle of the process.
    :ivar arguments: the program and its arguments, before the substitution.
    :ivar start: the variables, the files and the other options.
    """

    host: str
    process: str
    arguments: tuple[str, ...]
    start: KeptStart


@dataclass(frozen=True, slots=True)
class Kill:
    """A host ends a process with its whole group, and reports the end.

    :ivar host: the host.
    :ivar process: the handle of the process.
    """

    host: str
    process: str


@dataclass(frozen=True, slots=True)
class Drop:
    """No object needs a file on a host any more. The host may keep the data in its cache.

    :ivar host: the host.
    :ivar digest: the SHA-256 of the data.
    """

    host: str
    digest: str


@dataclass(frozen=True, slots=True)
class Release:
    """A test no longer uses a host: the host removes all that it keeps for this claim.

    :ivar host: the host.
    :ivar claim: the handle of the claim.
    """

    host: str
    claim: str


@dataclass(frozen=True, slots=True)
class Forget:
    """No file has this digest any more: the hub deletes the data.

    :ivar digest: the SHA-256 of the data.
    """

    digest: str


Action: TypeAlias = Fetch | Start | Kill | Drop | Release | Forget
