"""The order of the services of a group.

Every host runs the services of a group in the order of their ids. A declaration gives the id itself, or it names the services
that the service comes ``after`` and ``before``; then :func:`in_order` assigns the ids. The ids of a service must be equal on
all hosts, so all hosts use the same declarations, or every service has an id.

A need is not an order. It says which state of another service a service waits for, and that it stops if the other one fails.
A service can need only services that come before it, because it would otherwise wait without limit.

A service with a check has two places in the order: its own, and the gate ``NAME:healthy``, at which all hosts wait until its
check has succeeded. The gate is directly before the first service that needs it healthy. Without one, it is at the end. So
services in between start before it is healthy. In the same way, ``NAME:completed`` is a gate at which all hosts wait for its
``activate``, which otherwise runs together with the ``process`` of the next service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ...errors import UsageError
from ...frozen_record import Record
from .services import COMPLETED, HEALTHY, STARTED, Declaration, check_declaration

__all__ = ["Place", "in_order", "needing", "places"]

SPACING = 10  # between assigned ids, so that gates fit between two services


class Place(Record):
    """One place in the order: a service, or a gate at which all hosts wait for a state of a service."""

    id: int
    """Places with lower ids come first."""
    declaration: Declaration
    """The service."""
    gate: str = ""
    """The state that the gate waits for, ``healthy`` or ``completed``; empty for the service itself."""

    @property
    def name(self) -> str:
        """The name of the service, or ``NAME:healthy`` or ``NAME:completed``."""
        return f"{self.declaration.name}:{self.gate}" if self.gate else self.declaration.name


def in_order(declared: Iterable[Declaration]) -> list[Declaration]:
    """Check the declarations together, and return them sorted by id. Each one then has an id instead of ``after`` and
    ``before``.

    :raises UsageError: two services have the same name or id; some have an id and others do not; one names a service that is
        not declared; the order has a circle; or one needs a service that comes later. The error names both services.
    """
    services: dict[str, Declaration] = {}
    for one in declared:
        check_declaration(one)
        if one.name in services:
            raise UsageError(f"the service {one.name} is declared twice; remove one of the declarations or rename it")
        services[one.name] = one
    ordered = _by_id(services) if any(one.id is not None for one in services.values()) else _by_neighbours(services)
    _check_needs(ordered)
    return ordered


def places(ordered: Sequence[Declaration]) -> list[Place]:
    """The services, as :func:`in_order` returns them, with their gates, sorted by id.

    :raises UsageError: there is no free id for a gate.
    """
    found: list[Place] = []
    services = {one.name: one for one in ordered}
    open_for = {one.name: [STARTED] for one in ordered}
    """The states of each service that the next one need not wait for."""
    for one in ordered:
        assert one.id is not None
        gates = [(services[other], state) for other, state in one.needs.items() if state not in open_for[other]]
        if one.id - len(gates) <= (found[-1].id if found else -1):
            gate = Place(0, *gates[-1])
            raise UsageError(
                f"there is no free id between {found[-1].name} (id {found[-1].id}) and {one.name} (id {one.id}) for the gate"
                f" {gate.name}; give {one.name} and all services after it higher ids"
            )
        for n, (service, state) in enumerate(gates):
            found.append(Place(one.id - len(gates) + n, service, state))
            open_for[service.name] += [COMPLETED, state]  # a check runs after activate
        found.append(Place(one.id, one))
    last = [one for one in ordered if one.checked and HEALTHY not in open_for[one.name]]
    return found + [Place(found[-1].id + n, one, HEALTHY) for n, one in enumerate(last, 1)]


def needing(ordered: Sequence[Declaration], name: str) -> list[Declaration]:
    """The services that need a service, directly or through others, in order."""
    found = {name: True}
    for one in ordered:  # a service needs only services before it
        if any(other in found for other in one.needs):
            found[one.name] = True
    return [one for one in ordered if one.name in found and one.name != name]


def _by_id(services: Mapping[str, Declaration]) -> list[Declaration]:
    """The order by ids."""
    owners: dict[int, str] = {}
    for name, one in services.items():
        if one.id is None or one.after or one.before:
            with_id = next(other for other, declared in services.items() if declared.id is not None)
            found = "after or before" if one.after or one.before else "no id"
            raise UsageError(
                f"the service {name} has {found}, but {with_id} has an id; give all services an id, or none of them"
            )
        if one.id in owners:
            raise UsageError(f"the services {owners[one.id]} and {name} both have the id {one.id}; change one of them")
        owners[one.id] = name
    return sorted(services.values(), key=lambda one: one.id or 0)


def _by_neighbours(services: Mapping[str, Declaration]) -> list[Declaration]:
    """The order by ``after`` and ``before``; where these leave a choice, the order of the declarations."""
    earlier: dict[str, dict[str, None]] = {name: {} for name in services}
    for name, one in services.items():
        for key, others in (("after", one.after), ("before", one.before)):
            for other in others:
                if other not in services:
                    raise _unknown(one, key, other, services)
                first, second = (other, name) if key == "after" else (name, other)
                earlier[second][first] = None
    done: dict[str, None] = {}
    while len(done) < len(services):
        ready = next((name for name in services if name not in done and earlier[name].keys() <= done.keys()), None)
        if ready is None:
            raise _circle(earlier, done)
        done[ready] = None
    return [services[name].but(id=SPACING * n, after=(), before=()) for n, name in enumerate(done, 1)]


def _circle(earlier: Mapping[str, Mapping[str, None]], done: Mapping[str, None]) -> UsageError:
    """The error for an order in which no further service can come next: every service left waits for another one."""
    path = [next(name for name in earlier if name not in done)]
    while (before := next(name for name in earlier[path[-1]] if name not in done)) not in path:
        path.append(before)
    circle = [*path[path.index(before) :], before]
    return UsageError(
        f"the order of the services has a circle: {' after '.join(circle)}; remove one of these from after or before"
    )


def _check_needs(ordered: Sequence[Declaration]) -> None:
    """Refuse a need for a service that comes later, that is not declared, or that cannot become healthy."""
    services = {one.name: one for one in ordered}
    numbers = {one.name: n for n, one in enumerate(ordered)}
    for one in ordered:
        for other, state in one.needs.items():
            if other not in services:
                raise _unknown(one, "needs", other, services)
            if numbers[other] >= numbers[one.name]:
                raise UsageError(
                    f"the service {one.name} (id {one.id}) needs {other}, which has the id {services[other].id}; a service"
                    " can need only services with lower ids, so change the order or remove the need"
                )
            if state == HEALTHY and not services[other].checked:
                raise UsageError(
                    f"the service {one.name} needs {other} to be healthy, but {other} has no check; declare one, or need"
                    " 'started'"
                )


def _unknown(one: Declaration, key: str, other: str, known: Iterable[str]) -> UsageError:
    return UsageError(
        f"the service {one.name} names {other} in {key}, which is not declared; the services are {', '.join(known)}"
    )
