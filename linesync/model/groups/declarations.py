"""Declarations of services: their steps, their needs, and the timeouts of their steps."""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import UsageError
from ...frozen_record import Record
from ...numbers import SECONDS_MAX
from .group_limits import ID_MAX, POLICIES, VERSION_CHARS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "COMPLETED",
    "HEALTHY",
    "STARTED",
    "STATES",
    "STEPS",
    "Declaration",
    "check_declaration",
    "check_service",
]

STEPS: Final = ("init", "process", "activate", "check", "abort", "stop")
"""The steps of a service, in order. If a round ends early, ``abort`` runs instead of the remaining steps."""
STARTED: Final = "started"
"""``process`` has succeeded on every host that has the service."""
COMPLETED: Final = "completed"
"""After that, ``activate`` has also succeeded on every host that has the service."""
HEALTHY: Final = "healthy"
"""After that, ``check`` has also succeeded on every host that has the service."""
STATES: Final = (STARTED, COMPLETED, HEALTHY)

NAME_CHARS = 64  # short, because every announcement contains the names, also on a slow line
TIMEOUT = 300.0  # seconds for each step, unless the declaration has another timeout
INTERVAL = 1.0  # seconds between two checks
CHECK_TIMEOUT = 10.0  # seconds for one check


class Declaration(Record):
    """The declaration of one service on one host."""

    name: str
    """1 to 64 letters, digits, dots, underscores and hyphens."""
    id: int | None = None
    """Its place in the order, from 0; None if ``after`` and ``before`` determine the place."""
    after: tuple[str, ...] = ()
    """The services that come before it."""
    before: tuple[str, ...] = ()
    """The services that come after it."""
    needs: Mapping[str, str] = {}  # nothing modifies this default
    """The services that it needs, each with the state that it waits for: started, completed or healthy."""
    hosts: tuple[str, ...] = ()
    """The hosts that have it; empty for all members. Other hosts have no step for it, and only wait at its barrier."""
    version: str = ""
    """Members with different versions are reported as a mixed round."""
    checked: bool = False
    """Whether it has a check, so that it can become healthy."""
    timeouts: Mapping[str, float] = {}
    """Seconds for each step. For ``check``: seconds for all checks until a check succeeds."""
    interval: float = INTERVAL
    """Seconds between the end of a check and the next one."""
    check_timeout: float = CHECK_TIMEOUT
    """Seconds for one check."""
    serialize: bool = False
    """Whether ``process`` runs on one host at a time, in the order of the view."""
    keystone: bool = False
    """Whether the end of this service on a host ends the services of the whole group."""
    on_failure: str = ""
    """The reaction to a failed step of this service: ``retry``, ``exclude`` or ``stop``; empty for that of the group."""

    def timeout(self, step: str) -> float:
        """The timeout of a step in seconds."""
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


def check_declaration(declaration: Declaration) -> None:
    """Refuse a declaration with a field that is invalid by itself.

    :raises UsageError: the error names the service, the field and the expected value.
    """
    check_service(declaration.name)
    if declaration.id is not None and not 0 <= declaration.id <= ID_MAX:
        raise _invalid(declaration, "id", declaration.id, f"0 to {ID_MAX}")
    if len(declaration.version) > VERSION_CHARS or not declaration.version.isprintable():
        raise _invalid(declaration, "version", declaration.version, f"at most {VERSION_CHARS} printable characters")
    if declaration.on_failure and declaration.on_failure not in POLICIES:
        raise _invalid(declaration, "on_failure", declaration.on_failure, "retry, exclude or stop")
    for other, state in declaration.needs.items():
        if state not in STATES:
            raise _invalid(declaration, f"needs.{other}", state, "started, completed or healthy")
    for step, seconds in declaration.timeouts.items():
        if step not in STEPS:
            raise _invalid(declaration, "timeouts", step, f"the steps {', '.join(STEPS)}")
        _check_seconds(declaration, f"timeouts.{step}", seconds)
    _check_seconds(declaration, "interval", declaration.interval)
    _check_seconds(declaration, "check_timeout", declaration.check_timeout)


def _check_seconds(declaration: Declaration, field: str, seconds: float) -> None:
    if not 0 < seconds <= SECONDS_MAX:
        raise _invalid(declaration, field, seconds, f"more than 0 and at most {SECONDS_MAX} seconds")


def _invalid(declaration: Declaration, field: str, value: object, expected: str) -> UsageError:
    return UsageError(f"invalid {field} {value!r:.64} of the service {declaration.name}: expected {expected}")
