"""``linesync status``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from ..common import connection, print_json, table, timeout_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...model.state.group import GroupState
    from ...model.state.hosts import HostState
    from ...model.state.record import Waiting
    from ...model.state.status import Status
    from ...model.state.sync.barrier import BarrierState
    from ...model.state.sync.event import EventState
    from ...model.state.sync.exchange import ExchangeState
    from ...model.state.sync.lock import LockState
    from ...model.state.sync.semaphore import SemaphoreState
    from ...model.state.sync.topic import TopicState

    Named = BarrierState | SemaphoreState | LockState | ExchangeState | EventState | TopicState | GroupState

HELP = "show the hosts, the groups, and who waits or holds: barriers, semaphores, locks, exchanges, events, messages"
EXAMPLES = """\
  linesync status
  linesync status --json | jq .barriers
  linesync status --watch                redraw the tables after each change, until Ctrl-C
  linesync status --watch | grep lock    one line for each change
  linesync status --watch --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    timeout_option(parser)
    parser.add_argument("-w", "--watch", action="store_true", help="follow the changes until Ctrl-C")


def run(args: argparse.Namespace) -> int:
    with connection(args) as client:
        if args.watch:
            from .changes import watch

            return watch(client, _show, args.deadline, as_json=args.json)
        status = client.status(timeout=args.deadline.left)
    if args.json:
        print_json(status.as_json())
    else:
        _show(status)
    return 0


def _show(status: Status) -> None:
    rows = _Rows(status)
    up = sum(host.state == "up" for host in status.hosts)
    print(f"{up} of {len(status.hosts)} hosts up: " + (_states(status.hosts) or "no host has registered"))
    if status.drain:
        print(f"the hub is being drained; it waits for {status.drain}")
    _table(("BARRIER", "ARRIVED", "OF", "WHO", "ABSENT"), map(rows.barrier, status.barriers))
    _table(("SEMAPHORE", "VALUE", "HELD", "WAITING"), map(rows.semaphore, status.semaphores))
    _table(("LOCK", "TOKEN", "OWNER", "WAITING"), map(rows.lock, status.locks))
    _table(("EXCHANGE", "GAVE", "OF", "WHO", "ABSENT"), map(_exchange, status.exchanges))
    _table(("EVENT", "STATE", "WAITING"), map(rows.event, status.events))
    _table(("GROUP", "RING", "MEMBERS", "ROUND", "WAITS FOR"), map(_group, status.groups))
    _table(("MESSAGES", "COUNT", "FROM", "WAITING"), map(rows.topic, status.topics))


def _table(heads: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    found = list(rows)
    if found:
        print()
        table(heads, found)


def _states(hosts: Iterable[HostState]) -> str:
    return ", ".join(host.name if host.state == "up" else f"{host.name} ({host.state})" for host in hosts)


def _name(named: Named) -> str:
    return named.name if named.namespace == "default" else f"{named.namespace}/{named.name}"


def _absent(reasons: dict[str, str]) -> str:
    return ", ".join(f"{name} ({why})" for name, why in reasons.items()) or "-"


class _Rows:
    """Makes the rows of the tables, which name the waiting and holding scripts and their users."""

    def __init__(self, status: Status) -> None:
        self._clients = {client.client: client for client in status.clients}

    def _who(self, name: str, client: str | None) -> str:
        """A text such as ``hub script 7 uid 1000``. For an agent, and for a lock that belongs to its host, it is the name."""
        found = self._clients.get(client or "")
        if found is None or not found.script:
            return name
        return f"{name} script {found.script}" + (f" uid {found.uid}" if found.uid is not None else "")

    def _waiting(self, waiting: Iterable[Waiting]) -> str:
        return ", ".join(f"{self._who(wait.name, wait.client)} ({wait.waiting:.0f}s)" for wait in waiting) or "-"

    def barrier(self, barrier: BarrierState) -> tuple[object, ...]:
        absent = barrier.missing if isinstance(barrier.missing, dict) else barrier.gone
        if barrier.unheard:
            absent = dict.fromkeys(barrier.unheard, "silent; the hub probes it")
        arrived = self._waiting(barrier.arrived)
        return _name(barrier), len(barrier.arrived), barrier.count, arrived, _absent(absent)

    def semaphore(self, semaphore: SemaphoreState) -> tuple[object, ...]:
        held = ", ".join(f"{self._who(hold.name, hold.client)} holds {hold.units}" for hold in semaphore.holders)
        queue = ", ".join(
            f"{self._who(wait.name, wait.client)} wants {wait.wants} ({wait.waiting:.0f}s)" for wait in semaphore.queue
        )
        return _name(semaphore), semaphore.value, held or "-", queue or "-"

    def lock(self, lock: LockState) -> tuple[object, ...]:
        owner = f"{self._who(lock.owner.name, lock.owner.client)} ({lock.owner.since:.0f}s)" if lock.owner else "-"
        return _name(lock), lock.token, owner, self._waiting(lock.queue)

    def event(self, event: EventState) -> tuple[object, ...]:
        return _name(event), "set" if event.set else "not set", self._waiting(event.waiting)

    def topic(self, topic: TopicState) -> tuple[object, ...]:
        return _name(topic), topic.messages, ", ".join(topic.senders) or "-", self._waiting(topic.waiting)


def _exchange(exchange: ExchangeState) -> tuple[object, ...]:
    given = ", ".join(exchange.given) or "-"
    return _name(exchange), len(exchange.given), exchange.count, given, _absent(exchange.missing)


def _group(group: GroupState) -> tuple[object, ...]:
    members = ", ".join(member.name + (" (slow)" if member.slow else "") for member in group.members) or "-"
    if group.short:
        members += f"; missing: {_absent(group.missing)}"
    turn = "" if group.round.service is None else f" of service {group.round.service}"
    return _name(group), group.ring, members, group.round.state + turn, ", ".join(group.round.waits_for) or "-"
