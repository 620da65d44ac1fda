"""Declarations of services: what a host runs in each step, what it needs, and the limits of its steps."""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import UsageError
from ...frozen_record import Record
from ...numbers import SECONDS_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "COMPLETED",
    "HEALTHY",
    "ID_MAX",
    "STARTED",
    "STATES",
    "STEPS",
    "Declaration",
    "check_declaration",
    "check_service",
]

STEPS: Final = ("init", "process", "activate", "check", "abort", "stop")
"""What a service can do, in the order in which it happens. An abort replaces what follows."""
STARTED: Final = "started"
"""``process`` has ended well on every host that has the service."""
COMPLETED: Final = "completed"
"""The same, and then ``activate`` has ended well on every host that has the service."""
HEALTHY: Final = "healthy"
"""The same, and then ``check`` has succeeded on every host that has the service."""
STATES: Final = (STARTED, COMPLETED, HEALTHY)

ID_MAX = 1_000_000
NAME_CHARS = 64  # also in every announcement on a slow line
VERSION_CHARS = 64
TIMEOUT = 300.0  # seconds for each step, unless the declaration gives others
INTERVAL = 1.0  # seconds between two checks
CHECK_TIMEOUT = 10.0  # seconds for one check


class Declaration(Record):
    """One service, as one host declares it."""

    name: str
    """1 to 64 letters, digits, dots, underscores and hyphens."""
    id: int | None = None
    """Its place in the order, from 0; None if ``after`` and ``before`` decide."""
    after: tuple[str, ...] = ()
    """The services that come before it."""
    before: tuple[str, ...] = ()
    """The services that come after it."""
    needs: Mapping[str, str] = {}  # a default that nothing changes
    """The services that it needs, each with the state that it waits for: started, completed or healthy."""
    hosts: tuple[str, ...] = ()
    """The hosts that have it; empty for all members. On the others it is empty and takes part only in the barriers."""
    version: str = ""
    """Members with different versions are reported as a mixed round."""
    checked: bool = False
    """Whether it has a check, and so becomes healthy."""
    timeouts: Mapping[str, float] = {}
    """Seconds for a step. For ``check``: for all checks until one succeeds."""
    interval: float = INTERVAL
    """Seconds between the end of a check and the next one."""
    check_timeout: float = CHECK_TIMEOUT
    """Seconds for one check."""
    serialize: bool = False
    """Whether ``process`` runs on one host at a time, in the order of the view."""
    keystone: bool = False
    """Whether the end of this service on a host ends the services of the whole group."""

    def timeout(self, step: str) -> float:
        """Seconds for a step."""
        return self.timeouts.get(step, TIMEOUT)

    def on(self, host: str) -> bool:
        """Whether a host has this service."""
        return not self.hosts or host in self.hosts


def check_service(name: str) -> None:
    """Refuse a name that is not 1 to 64 letters, digits, dots, underscores and hyphens."""
    good = name.isascii() and name.replace("-", "").replace("_", "").replace(".", "")
    if not (1 <= len(name) <= NAME_CHARS and good and good.isalnum()):
        raise UsageError(
            f"invalid service name {name[:NAME_CHARS]!a}: expected 1 to {NAME_CHARS} letters, digits, dots, underscores or"
            " hyphens"
        )


def check_declaration(one: Declaration) -> None:
    """Refuse a declaration with a field that is invalid by itself.

    :raises UsageError: the error names the service, the field and the expected value.
    """
    check_service(one.name)
    if one.id is not None and not 0 <= one.id <= ID_MAX:
        raise _invalid(one, "id", one.id, f"0 to {ID_MAX}")
    if len(one.version) > VERSION_CHARS or not one.version.isprintable():
        raise _invalid(one, "version", one.version, f"at most {VERSION_CHARS} printable characters")
    for other, state in one.needs.items():
        if state not in STATES:
            raise _invalid(one, f"needs.{other}", state, "started, completed or healthy")
    for step, seconds in one.timeouts.items():
        if step not in STEPS:
            raise _invalid(one, "timeouts", step, f"the steps {', '.join(STEPS)}")
        _check_seconds(one, f"timeouts.{step}", seconds)
    _check_seconds(one, "interval", one.interval)
    _check_seconds(one, "check_timeout", one.check_timeout)


def _check_seconds(one: Declaration, field: str, seconds: float) -> None:
    if not 0 < seconds <= SECONDS_MAX:
        raise _invalid(one, field, seconds, f"more than 0 and at most {SECONDS_MAX} seconds")


def _invalid(one: Declaration, field: str, value: object, expected: str) -> UsageError:
    return UsageError(f"invalid {field} {value!r:.64} of the service {one.name}: expected {expected}")
