"""The order of the services of a group.

Every host runs the services of a group in the order of their ids. A declaration gives the id itself, or it names the services
that the service comes ``after`` and ``before``; then :func:`in_order` assigns the ids. The ids of a service must be equal on
all hosts, so all hosts use the same declarations, or every service has an id.

A need does not change the order. It names another service and a state: the service waits until the other service has this
state, and it is stopped if the other service fails. A service can need only services that come before it, because it would
otherwise wait without limit.

A service with a check has two places in the order: its own, and the gate ``NAME:healthy``, at which all hosts wait until its
check has succeeded. The gate is directly before the first service that needs the state ``healthy``. Without such a need, the
gate is at the end. The services between a service and its gate therefore start before the service is healthy. In the same way,
``NAME:completed`` is a gate at which all hosts wait for ``activate`` of the service. Without this gate, ``activate`` runs
together with the ``process`` of the next service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ...errors import UsageError
from ...frozen_record import Record
from .declarations import COMPLETED, HEALTHY, STARTED, Declaration, check_declaration

__all__ = ["Place", "in_order", "needing", "places"]

SPACING = 10  # the difference of two assigned ids, so that ids for gates are free between two services


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
    """Check the declarations together, and return them sorted by id. Each returned declaration has an id instead of ``after``
    and ``before``.

    :raises UsageError: two services have the same name or id; some services have an id and others do not; a service names a
        service that is not declared; the order has a cycle; or a service needs a service that comes later. The error names
        both services.
    """
    services: dict[str, Declaration] = {}
    for declaration in declared:
        check_declaration(declaration)
        if declaration.name in services:
            raise UsageError(
                f"the service {declaration.name} is declared twice; remove one of the declarations or rename it"
            )
        services[declaration.name] = declaration
    ordered = (
        _by_id(services)
        if any(declaration.id is not None for declaration in services.values())
        else _by_neighbours(services)
    )
    _check_needs(ordered)
    return ordered


def places(ordered: Sequence[Declaration]) -> list[Place]:
    """Add the gates to services that :func:`in_order` has returned. Return all places, sorted by id.

    :raises UsageError: there is no free id for a gate.
    """
    found: list[Place] = []
    services = {service.name: service for service in ordered}
    reached = {service.name: [STARTED] for service in ordered}
    """The states of each service that it has before the next service begins."""
    for service in ordered:
        assert service.id is not None
        gates = [(services[other], state) for other, state in service.needs.items() if state not in reached[other]]
        if service.id - len(gates) <= (found[-1].id if found else -1):
            gate = Place(0, *gates[-1])
            raise UsageError(
                f"there is no free id between {found[-1].name} (id {found[-1].id}) and {service.name} (id {service.id})"
                f" for the gate {gate.name}; give {service.name} and all services after it higher ids"
            )
        for n, (needed, state) in enumerate(gates):
            found.append(Place(service.id - len(gates) + n, needed, state))
            reached[needed.name] += [COMPLETED, state]  # a check runs after activate
        found.append(Place(service.id, service))
    last = [service for service in ordered if service.checked and HEALTHY not in reached[service.name]]
    return found + [Place(found[-1].id + n, service, HEALTHY) for n, service in enumerate(last, 1)]


def needing(ordered: Sequence[Declaration], name: str) -> list[Declaration]:
    """The services that need a service, directly or through others, in order."""
    found = {name: True}
    for service in ordered:  # a service needs only services before it
        if any(other in found for other in service.needs):
            found[service.name] = True
    return [service for service in ordered if service.name in found and service.name != name]


def _by_id(services: Mapping[str, Declaration]) -> list[Declaration]:
    """Sort the services by their ids."""
    owners: dict[int, str] = {}
    for name, service in services.items():
        if service.id is None or service.after or service.before:
            with_id = next(other for other, declared in services.items() if declared.id is not None)
            mistake = "after or before" if service.after or service.before else "no id"
            raise UsageError(
                f"the service {name} has {mistake}, but {with_id} has an id; give all services an id, or none of them"
            )
        if service.id in owners:
            raise UsageError(
                f"the services {owners[service.id]} and {name} both have the id {service.id}; change one of them"
            )
        owners[service.id] = name
    return sorted(services.values(), key=lambda service: service.id or 0)


def _by_neighbours(services: Mapping[str, Declaration]) -> list[Declaration]:
    """Sort the services by ``after`` and ``before``. If several orders are possible, keep the order of the declarations."""
    earlier: dict[str, dict[str, None]] = {name: {} for name in services}
    for name, service in services.items():
        for key, neighbours in (("after", service.after), ("before", service.before)):
            for other in neighbours:
                if other not in services:
                    raise _unknown(service, key, other, services)
                first, second = (other, name) if key == "after" else (name, other)
                earlier[second][first] = None
    done: dict[str, None] = {}
    while len(done) < len(services):
        ready = next((name for name in services if name not in done and earlier[name].keys() <= done.keys()), None)
        if ready is None:
            raise _cycle(earlier, done)
        done[ready] = None
    return [services[name].but(id=SPACING * n, after=(), before=()) for n, name in enumerate(done, 1)]


def _cycle(earlier: Mapping[str, Mapping[str, None]], done: Mapping[str, None]) -> UsageError:
    """The error for an order with a cycle: each remaining service must come after another remaining service."""
    path = [next(name for name in earlier if name not in done)]
    while (before := next(name for name in earlier[path[-1]] if name not in done)) not in path:
        path.append(before)
    cycle = [*path[path.index(before) :], before]
    return UsageError(
        f"the order of the services has a cycle: {' after '.join(cycle)}; remove one of these from after or before"
    )


def _check_needs(ordered: Sequence[Declaration]) -> None:
    """Refuse a need for a service that comes later, that is not declared, or that cannot become healthy."""
    services = {service.name: service for service in ordered}
    numbers = {service.name: n for n, service in enumerate(ordered)}
    for service in ordered:
        for other, state in service.needs.items():
            if other not in services:
                raise _unknown(service, "needs", other, services)
            if numbers[other] >= numbers[service.name]:
                raise UsageError(
                    f"the service {service.name} (id {service.id}) needs {other}, which has the id {services[other].id};"
                    " a service can need only services with lower ids, so change the order or remove the need"
                )
            if state == HEALTHY and not services[other].checked:
                raise UsageError(
                    f"the service {service.name} needs {other} to be healthy, but {other} has no check; declare one, or need"
                    " 'started'"
                )


def _unknown(service: Declaration, key: str, other: str, known: Iterable[str]) -> UsageError:
    return UsageError(
        f"the service {service.name} names {other} in {key}, which is not declared; the services are {', '.join(known)}"
    )
