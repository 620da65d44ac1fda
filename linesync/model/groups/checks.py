"""Checks the terms of a group and the services of a member."""

from __future__ import annotations

from ...errors import UsageError
from ..names import TIMEOUT_MAX
from ..participants import check_name
from ..state.group import Announced, Terms
from .group_limits import BACKOFF_MAX, ID_MAX, MEMBERS_MAX, POLICIES, RETRIES_MAX, SERVICES_MAX, VERSION_CHARS

__all__ = ["MEMBERS_MAX", "check_services", "check_terms"]


def check_terms(terms: Terms) -> None:
    """Refuse terms that are not valid; raises UsageError."""
    choices = (
        ("init", terms.init, ("first", "in-turn")),
        ("activate", terms.activate, ("after", "before")),
        ("on_failure", terms.on_failure, POLICIES),
    )
    for name, value, allowed in choices:
        if value not in allowed:
            raise UsageError(f"invalid {name} '{value[:20]}' of a group: expected {' or '.join(allowed)}")
    if not 0 <= terms.quorum <= MEMBERS_MAX:
        raise UsageError(f"invalid quorum {terms.quorum}: expected 0 to {MEMBERS_MAX}")
    if not (0 <= terms.retries <= RETRIES_MAX and 0 <= terms.backoff <= BACKOFF_MAX):
        raise UsageError(
            f"invalid retries of a group: expected at most {RETRIES_MAX} retries, the first after at most {BACKOFF_MAX:g} s"
        )


def check_services(services: tuple[Announced, ...], *, passive: bool = False) -> None:
    """Refuse services that are not valid; raises UsageError."""
    if passive and services:
        raise UsageError("a host that joins without a program has no services; join from a program that runs them")
    if len(services) > SERVICES_MAX:
        raise UsageError(f"a member has at most {SERVICES_MAX} services, not {len(services)}")
    seen: dict[int, str] = {}
    for one in services:
        check_name("service", one.name)
        if not 0 <= one.id <= ID_MAX:
            raise UsageError(f"invalid id {one.id} of service '{one.name}': expected 0 to {ID_MAX}")
        if one.id in seen:
            raise UsageError(
                f"the services '{seen[one.id]}' and '{one.name}' have the same id {one.id}; each needs its own"
            )
        if len(one.version) > VERSION_CHARS or not (one.version.isprintable() and 0 <= one.timeout <= TIMEOUT_MAX):
            raise UsageError(
                f"invalid version or timeout of service '{one.name}': expected at most {VERSION_CHARS} printable characters,"
                f" and 0 to {TIMEOUT_MAX:.0f} seconds"
            )
        if one.on_failure and one.on_failure not in POLICIES:
            raise UsageError(
                f"invalid on_failure '{one.on_failure[:20]}' of service '{one.name}': expected {' or '.join(POLICIES)}"
            )
        seen[one.id] = one.name
