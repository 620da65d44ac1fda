"""What the hub does at a host because of a change of the test bus.

An action that is lost together with the hub is not lost for good: a host that comes back reports its claims and files, and
the hub compares the report with its state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Action", "Forget", "Release"]


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


Action: TypeAlias = Release | Forget
