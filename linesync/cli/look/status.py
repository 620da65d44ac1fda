"""``linesync status``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from ..common import connection, print_json, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...model.state.barrier import BarrierState
    from ...model.state.event import EventState
    from ...model.state.exchange import ExchangeState
    from ...model.state.hosts import HostState
    from ...model.state.lock import LockState
    from ...model.state.record import Waiting
    from ...model.state.semaphore import SemaphoreState
    from ...model.state.topic import TopicState

    Named = BarrierState | SemaphoreState | LockState | ExchangeState | EventState | TopicState

HELP = "show hosts and who waits for what: barriers, semaphores, locks, exchanges, events, messages"
EXAMPLES = """\
  linesync status
  linesync status --json | jq .barriers
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def run(args: argparse.Namespace) -> int:
    with connection(args) as client:
        status = client.status()
    if args.json:
        print_json(status.as_json())
        return 0
    up = sum(host.state == "up" for host in status.hosts)
    print(f"{up} of {len(status.hosts)} hosts up: " + (_states(status.hosts) or "none has registered"))
    _table(("BARRIER", "ARRIVED", "OF", "WHO", "ABSENT"), map(_barrier, status.barriers))
    _table(("SEMAPHORE", "VALUE", "HELD", "WAITING"), map(_semaphore, status.semaphores))
    _table(("LOCK", "TOKEN", "OWNER", "WAITING"), map(_lock, status.locks))
    _table(("EXCHANGE", "GAVE", "OF", "WHO", "ABSENT"), map(_exchange, status.exchanges))
    _table(("EVENT", "STATE", "WAITING"), map(_event, status.events))
    _table(("MESSAGES", "COUNT", "FROM", "WAITING"), map(_topic, status.topics))
    return 0


def _table(heads: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    found = list(rows)
    if found:
        print()
        table(heads, found)


def _states(hosts: Iterable[HostState]) -> str:
    return ", ".join(host.name if host.state == "up" else f"{host.name} ({host.state})" for host in hosts)


def _name(thing: Named) -> str:
    return thing.name if thing.namespace == "default" else f"{thing.namespace}/{thing.name}"


def _waiting(waiting: Iterable[Waiting]) -> str:
    return ", ".join(f"{one.name} ({one.waiting:.0f}s)" for one in waiting) or "-"


def _absent(reasons: dict[str, str]) -> str:
    return ", ".join(f"{name} ({why})" for name, why in reasons.items()) or "-"


def _barrier(barrier: BarrierState) -> tuple[object, ...]:
    absent = barrier.missing if isinstance(barrier.missing, dict) else barrier.gone
    if barrier.unheard:
        absent = dict.fromkeys(barrier.unheard, "silent; asked whether it is alive")
    return _name(barrier), len(barrier.arrived), barrier.count, _waiting(barrier.arrived), _absent(absent)


def _semaphore(semaphore: SemaphoreState) -> tuple[object, ...]:
    held = ", ".join(f"{one.name} holds {one.units}" for one in semaphore.holders)
    queue = ", ".join(f"{one.name} wants {one.wants} ({one.waiting:.0f}s)" for one in semaphore.queue)
    return _name(semaphore), semaphore.value, held or "-", queue or "-"


def _lock(lock: LockState) -> tuple[object, ...]:
    owner = f"{lock.owner.name} ({lock.owner.since:.0f}s)" if lock.owner else "-"
    return _name(lock), lock.token, owner, _waiting(lock.queue)


def _exchange(exchange: ExchangeState) -> tuple[object, ...]:
    given = ", ".join(exchange.given) or "-"
    return _name(exchange), len(exchange.given), exchange.count, given, _absent(exchange.missing)


def _event(event: EventState) -> tuple[object, ...]:
    return _name(event), "set" if event.set else "not set", _waiting(event.waiting)


def _topic(topic: TopicState) -> tuple[object, ...]:
    return _name(topic), topic.messages, ", ".join(topic.senders) or "-", _waiting(topic.waiting)
