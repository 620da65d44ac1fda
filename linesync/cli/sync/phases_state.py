"""``linesync phases status``, ``log``, ``rerun`` and ``stop``."""

from __future__ import annotations

import argparse

from ...errors import UsageError
from ..common import connection, print_json, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...model.state.change import Change
    from ...model.state.group import GroupMemberState, GroupState
    from ...model.state.status import Status

__all__ = ["draw", "log", "print_rounds", "rerun", "status", "stop"]


def status(args: argparse.Namespace) -> int:
    """Print the state of each service on each member, or follow the changes."""
    with connection(args) as client:
        if args.watch:
            from ..look.changes import watch

            def show(state: Status) -> None:
                _draw_if_there(state, args)

            def wanted(change: Change) -> bool:
                return (change.namespace, change.name) == (args.namespace, args.target)

            return watch(client, show, args.deadline, as_json=args.json, wanted=wanted)
        state = client.group_state(args.target, namespace=args.namespace, timeout=args.deadline.left)
    if args.json:
        print_json(state.as_json())
    else:
        draw(state)
    return 0


def log(args: argparse.Namespace) -> int:
    """Print the last rounds of a group, the oldest first."""
    with connection(args) as client:
        state = client.group_state(args.target, namespace=args.namespace, timeout=args.deadline.left)
    if args.json:
        print_json([round_.as_json() for round_ in state.rounds])
        return 0
    print_rounds(state)
    return 0


def print_rounds(state: GroupState) -> None:
    """Print the last rounds of a group as a table."""
    names = _names(state)
    rows = [
        (
            f"{round_.began:.0f} s ago",
            f"{round_.seconds:.2f}",
            round_.ring,
            " ".join(round_.members),
            " ".join(names.get(service, str(service)) for service in round_.services) or "-",
            f"{round_.outcome}{': ' if round_.why else ''}{round_.why}",
        )
        for round_ in state.rounds
    ]
    table(("BEGAN", "SECONDS", "RING", "MEMBERS", "SERVICES", "OUTCOME"), rows)


def rerun(args: argparse.Namespace) -> int:
    """Ask for a new round."""
    with connection(args) as client:
        service = None
        if args.service is not None:
            state = client.group_state(args.target, namespace=args.namespace, timeout=args.deadline.left)
            service = _id_of(args.service, state)
        client.rerun_group(args.target, service, namespace=args.namespace, timeout=args.deadline.left)
    if args.json:
        print_json({"group": args.target, "service": args.service})
    return 0


def stop(args: argparse.Namespace) -> int:
    """Stop the services, the last one first, and end the group."""
    with connection(args) as client:
        client.stop_group(args.target, namespace=args.namespace, timeout=args.deadline.left)
    if args.json:
        print_json({"group": args.target})
    return 0


def _id_of(name: str, state: GroupState) -> int:
    """The id of a service.

    :raises UsageError: the group has no such service.
    """
    names = _names(state)
    found = next((service for service, known in names.items() if known == name), None)
    if found is None:
        raise UsageError(
            f"the group {state.name} has no service {name}; its services are {', '.join(names.values()) or 'none'}"
        )
    return found


def _names(state: GroupState) -> dict[int, str]:
    """The names of all services by their ids, in order."""
    found = {service.id: service.name for member in state.members for service in member.services}
    return dict(sorted(found.items()))


def _draw_if_there(state: Status, args: argparse.Namespace) -> None:
    found = next(
        (group for group in state.groups if (group.namespace, group.name) == (args.namespace, args.target)), None
    )
    if found is None:
        print(f"there is no group {args.target} now")
    else:
        draw(found)


def draw(state: GroupState) -> None:
    """Print the state of each service on each member."""
    print(_headline(state))
    for sentence in state.round.mixed:
        print(sentence)
    for gone, cause in state.missing.items():
        print(f"{gone} left: {cause}")
    if state.joining:
        print(f"waiting for the next view: {', '.join(state.joining)}")
    names = _names(state)
    rows = [(member.name, *_cells(member, list(names))) for member in state.members]
    if rows:
        print()
        table(("MEMBER", *names.values()), rows)
    for member in state.members:
        for service in member.services:
            if service.state == "ended":
                print(f"{service.name} on {member.name} ended: {service.why}")


def _headline(state: GroupState) -> str:
    """``storage: process of web since 3 s, ring 7@hub; waits for sut1, sut2``."""
    now = state.round
    members = f"{len(state.members)} members" if len(state.members) != 1 else "1 member"
    if state.short:
        return f"{state.name}: {members}, below the quorum of {state.terms.quorum}, so no service starts"
    activity = now.state
    if now.service is not None:
        activity = f"{activity} of {_names(state).get(now.service, now.service)}"
    waits = f"; waits for {', '.join(now.waits_for)}" if now.waits_for else ""
    why = f": {now.why}" if now.why else ""
    return f"{state.name}: {members}, {activity} for {now.since:.0f} s, ring {state.ring}{waits}{why}"


def _cells(member: GroupMemberState, services: list[int]) -> list[str]:
    """The state of each service of a member, with the seconds of a running step; ``-`` for a service that it does not have."""
    states = {service.id: service for service in member.services}
    cells = []
    for service in services:
        state = states.get(service)
        if state is None:
            cells.append("-")
        else:
            cells.append(state.state if state.seconds is None else f"{state.state} {state.seconds:.0f}s")
    return cells
