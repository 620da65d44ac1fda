"""Deadlocks: clients that wait for each other in a cycle.

1. Only something with an owner can be part of a cycle: a lock, held units, a member's arrival at a barrier or exchange.
   Any client may give units, set an event or send a message, so a wait for these is never stuck. A client that wants more
   units than there are, including held ones, waits for a giver and not for the holders, unless a bound forbids the gift.
2. Stuck clients are found by reduction (Holt, "Some Deadlock Properties of Computer Systems", 1972). All waiting clients
   are stuck at first. A client is removed if its wait could end after all other clients did everything that they can do; this
   repeats until nothing changes. Only a stuck client could help another one that is left.
3. A client that does several operations at the same time is never stuck. A holder that does not wait itself is stuck when
   every wait *within* its grant is stuck: a command under ``linesync lock NAME -- CMD`` waits on behalf of the lock's
   holder. A member is stuck when all clients of its host are stuck. A host with another client or a running command may
   act. So may a host whose clients all wait at the same barrier as other members: the next client may start later.
4. When a cycle has existed for two seconds, the hub asks hosts who else is active there: the hosts in the cycle, and the
   hosts of all stuck clients that the cycle waits for, since one of these may break it. The cycle becomes an error for
   all its clients as soon as the answers so far prove that no other answer can break it.
5. If the answers say that the cycle may be broken, they are believed for four seconds, then for twice as long each time,
   up to a minute. Meanwhile the search finds other cycles of the same waits, without the clients that may act.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ...errors import DeadlockError, LinesyncError
from ..decisions import Outcome
from ..hosts.membership import Membership
from ..participants import Cause, Client, host_of
from .place import Acting, Edge, Place
from .waits import Hold, Wait, Waits

__all__ = ["STANDING", "Activity", "Deadlocks"]

_Key: TypeAlias = frozenset[tuple[str, str]]
"""The (host, arrival) of each wait in a cycle."""

STANDING = 2.0  # seconds that a cycle exists before the hosts are asked
LOOK = 0.5  # seconds between searches while there is a wait for something with an owner
UNANSWERED = 4.0  # seconds after which the hosts are asked again if not all have answered
BELIEVED = 4.0  # seconds for which an answer is believed the first time
BELIEVED_MOST = 60.0  # most seconds for which an answer is believed


@dataclass(frozen=True, slots=True)
class Activity:
    """The clients and commands that are active on a host.

    :ivar commands: how many commands run there for other hosts.
    :ivar clients: the numbers of all clients there.
    :ivar concurrent: the numbers of the clients that do several operations at the same time.
    """

    commands: int = 0
    clients: frozenset[str] = frozenset()
    concurrent: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Cycle:
    """A cycle that was found.

    :ivar ask_at: when to ask the hosts.
    :ivar hosts: the hosts whose answers may show that the cycle can be broken.
    :ivar asked: when they were last asked; None before.
    """

    ask_at: float
    hosts: set[str]
    asked: float | None = None
    answers: dict[str, Activity] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Belief:
    """An answer that is believed."""

    activity: Activity
    until: float
    span: float


class Deadlocks:
    """The search for cycles, and the state of each cycle. Times are monotonic seconds."""

    def __init__(self, waits: Waits, hosts: Membership) -> None:
        self._waits = waits
        self._hosts = hosts
        self._cycles: dict[_Key, _Cycle] = {}
        self._beliefs: dict[str, _Belief] = {}
        self._look_at: float | None = None
        self._seen = -1
        """The waits' change counter at the last search."""

    def __len__(self) -> int:
        return len(self._cycles)

    def next_timer(self) -> float | None:
        """When to call :meth:`handle_timer`, or None."""
        if self._look_at is not None:
            return self._look_at
        opened = self._waits.owned_opened_at
        return None if opened is None else opened + LOOK

    def handle_timer(self, now: float) -> None:
        """Search for cycles, and ask the hosts of the cycles that have existed long enough."""
        due = self.next_timer()
        if due is None or now < due:
            return
        if self._forget_beliefs(now) or self._seen != self._waits.changes:
            self._look(now)
        if self._look_at is not None:
            self._look_at = now + LOOK
        for cycle in self._cycles.values():
            unanswered = cycle.asked is not None and now >= cycle.asked + UNANSWERED
            if unanswered or (cycle.asked is None and now >= cycle.ask_at):
                cycle.asked, cycle.answers = now, {}
                for host in sorted(cycle.hosts):
                    self._hosts.ask(host)

    def answered(self, host: str, activity: Activity, now: float) -> list[Outcome]:
        """A host has answered who is active there."""
        outcomes: list[Outcome] = []
        for key, cycle in list(self._cycles.items()):
            if cycle.asked is not None and host in cycle.hosts:
                cycle.answers[host] = activity
                outcomes += self._judge(key, cycle, now)
        return outcomes

    # -- inside ---------------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        """Find the cycles that exist according to the answers that are believed."""
        self._seen = self._waits.changes
        self._waits.owned_opened_at = None
        owned = any(wait.granted is None and wait.place.owned() for wait in self._waits.all())
        self._look_at = now + LOOK if owned else None
        if not owned:
            self._cycles, self._beliefs = {}, {}
            return
        believed = {host: belief.activity for host, belief in self._beliefs.items() if now < belief.until}
        view = _View(self._waits, self._hosts, believed)
        before, self._cycles = self._cycles, {}
        for key, waits in _cycles(view).items():
            cycle = before.get(key) or _Cycle(now + STANDING, set())
            cycle.hosts = _behind(waits, view)
            self._cycles[key] = cycle

    def _forget_beliefs(self, now: float) -> bool:
        """Drop old answers; returns whether one has expired since the last search."""
        look_at = self._look_at or now
        ended = any(look_at - LOOK < belief.until <= now for belief in self._beliefs.values())
        self._beliefs = {host: belief for host, belief in self._beliefs.items() if now < belief.until + BELIEVED_MOST}
        return ended

    def _judge(self, key: _Key, cycle: _Cycle, now: float) -> list[Outcome]:
        """Fail the cycle once no missing answer could break it; believe the answers if all are there and it may break."""
        if not _hosts(key) <= cycle.answers.keys():
            return []
        found = _cycles(_View(self._waits, self._hosts, cycle.answers, others_act=True)).get(key)
        if found is not None:
            del self._cycles[key]
            error = _error(found)
            return self._waits.fail([(wait, error) for wait, _ in found], Cause.DEADLOCK, now)
        if cycle.hosts <= cycle.answers.keys():
            del self._cycles[key]
            self._believe(cycle.answers, now)
        return []

    def _believe(self, answers: Mapping[str, Activity], now: float) -> None:
        for host, activity in answers.items():
            before = self._beliefs.get(host)
            if before is not None and now < before.until:
                span = before.span
            else:
                span = min(2 * before.span, BELIEVED_MOST) if before is not None else BELIEVED
            self._beliefs[host] = _Belief(activity, now + span, span)
        self._seen = -1


class _View(Acting):
    """The stuck clients, according to the known answers.

    :param known: the answers of hosts.
    :param others_act: assume that on all other hosts every client may act; else that only clients that do not wait may.
    """

    def __init__(
        self, waits: Waits, hosts: Membership, known: Mapping[str, Activity], *, others_act: bool = False
    ) -> None:
        self._waits = waits
        self._hosts = hosts
        self._known = known
        self._others_act = others_act
        self._open: dict[Client, list[Wait]] = defaultdict(list)
        self._inner: dict[tuple[str, str], list[Wait]] = defaultdict(list)
        self._clients: dict[str, dict[Client, None]] = defaultdict(dict)
        for wait in waits.all():
            if wait.held is not Hold.BY_HOST:
                self._clients[wait.client.host][wait.client] = None
            if wait.granted is None:
                self._open[wait.client].append(wait)
                if wait.within:
                    self._inner[wait.client.host, wait.within].append(wait)
        self.stuck = dict.fromkeys(client for client in self._open if not self._concurrent(client))
        self._members: dict[str, bool] = {}
        self._apart: dict[tuple[str, Place], bool] = {}
        self._edges: dict[Place, list[Edge]] = {}
        self._place: Place | None = None  # the place that is being asked
        self._readers: dict[Client | str, dict[Place, None]] = defaultdict(dict)
        """For each client or host: the places that relied on its being stuck."""
        self._reduce()
        self._stuck_of: dict[str, list[Wait]] = defaultdict(list)
        for wait in self.open_waits():
            self._stuck_of[wait.client.host].append(wait)

    def _concurrent(self, client: Client) -> bool:
        known = self._known.get(client.host)
        return self._others_act if known is None else client.number in known.concurrent

    def _reduce(self) -> None:
        """Remove the clients that may go on. A place is asked again only after a client that it relied on was removed."""
        waiting: dict[Place, list[Wait]] = defaultdict(list)
        for wait in self.open_waits():
            waiting[wait.place].append(wait)
        asked = dict.fromkeys(waiting)
        while asked:
            again: dict[Place, None] = {}
            for place in asked:
                self._place = place
                stuck = [wait for wait in waiting[place] if wait.client in self.stuck]
                able = place.able(stuck, self) if stuck and place.owned() else stuck
                for client in {wait.client: None for wait in able}:
                    again |= self._free(client)
                waiting[place] = stuck
            asked = again
        self._place = None

    def _free(self, client: Client) -> dict[Place, None]:
        """Remove a client that may go on; returns the places that relied on its being stuck."""
        del self.stuck[client]
        self._members.pop(client.host, None)
        return self._readers.pop(client, {}) | self._readers.pop(client.host, {})

    def open_waits(self) -> list[Wait]:
        """The open waits of all stuck clients."""
        return [wait for client in self.stuck for wait in self._open[client]]

    def edges(self, wait: Wait) -> list[Edge]:
        """The edges of a stuck wait: the reasons why it does not end; the same for all stuck waits at its place."""
        place = wait.place
        if place not in self._edges:
            found = place.waits_for(wait, self) if place.owned() else []
            # A member is absent because the clients of its host wait elsewhere, so these waits come first.
            self._edges[place] = [
                Edge(tuple(sorted(edge.waits, key=lambda one: one.place is place)), edge.why)
                for edge in found
                if edge.waits
            ]
        return self._edges[place]

    # -- questions of the places ----------------------------------------------------------------------------------------

    def holder(self, wait: Wait) -> bool:
        if wait.lapses:
            return True
        if wait.held is Hold.BY_HOST:
            return self.member(wait.client.host)
        if wait.client in self._open:
            return self._acts(wait.client)
        if self._concurrent(wait.client):
            return True
        inner = self._inner.get((wait.client.host, wait.arrival))
        return not inner or any(self._acts(one.client) for one in inner)

    def holder_waits(self, wait: Wait) -> list[Wait]:
        if wait.held is Hold.BY_HOST:
            return self.waits_of(wait.client.host)
        return self._open.get(wait.client) or self._inner.get((wait.client.host, wait.arrival), [])

    def member(self, name: str, at: Place | None = None) -> bool:
        host = host_of(name)
        if host not in self._members:
            self._members[host] = self._host_acts(host)
        if self._members[host]:
            return True
        if at is not None and self._all_there(host, at):
            return True
        if self._place is not None:
            self._readers[host][self._place] = None
        return False

    def waits_of(self, name: str) -> list[Wait]:
        return self._stuck_of[host_of(name)]

    # -- inside ---------------------------------------------------------------------------------------------------------

    def _acts(self, client: Client) -> bool:
        if client not in self.stuck:
            return True
        if self._place is not None:
            self._readers[client][self._place] = None
        return False

    def _host_acts(self, host: str) -> bool:
        clients = self._clients.get(host)
        if not clients or self._hosts.absent(host) is not None:
            return True
        known = self._known.get(host)
        if known is None:
            if self._others_act:
                return True
        elif known.commands or known.clients - {client.number for client in clients}:
            return True
        return any(self._client_acts(client) for client in clients)

    def _client_acts(self, client: Client) -> bool:
        if client in self._open:
            return client not in self.stuck
        if self._concurrent(client):
            return True
        holds = [wait for wait in self._waits.of_client(client) if wait.granted is not None]
        return all(self.holder(wait) for wait in holds)

    def _all_there(self, host: str, place: Place) -> bool:
        """Whether all clients of a host wait at one place, themselves or through a wait within one of their holds."""
        if (host, place) not in self._apart:
            self._apart[host, place] = any(self._is_apart(client, place) for client in self._clients[host])
        return not self._apart[host, place]

    def _is_apart(self, client: Client, place: Place) -> bool:
        waits = self._open.get(client)
        if waits is None:
            holds = [wait for wait in self._waits.of_client(client) if wait.granted is not None]
            waits = [inner for wait in holds for inner in self._inner.get((client.host, wait.arrival), ())]
        return not waits or any(wait.place is not place for wait in waits)


def _cycles(view: _View) -> dict[_Key, list[tuple[Wait, str]]]:
    """The cycles of stuck waits, each wait with the reason why it does not end. No wait is in two cycles."""
    cycles: dict[_Key, list[tuple[Wait, str]]] = {}
    seen: set[Wait] = set()
    for start in view.open_waits():
        path: dict[Wait, str] = {}
        wait: Wait | None = start
        while wait is not None and wait not in seen and wait not in path:
            edges = view.edges(wait)
            path[wait] = edges[0].why if edges else ""
            wait = edges[0].waits[0] if edges else None
        if wait in path:
            waits = list(path)
            cycle = [(one, path[one]) for one in waits[waits.index(wait) :]]
            cycles[frozenset((one.client.host, one.arrival) for one, _ in cycle)] = cycle
        seen.update(path)
    return cycles


def _hosts(key: _Key) -> set[str]:
    return {host for host, _ in key}


def _behind(cycle: list[tuple[Wait, str]], view: _View) -> set[str]:
    """The hosts of a cycle and of all stuck clients that it waits for, directly or through others."""
    hosts: set[str] = set()
    places: set[Place] = set()
    todo = [wait for wait, _ in cycle]
    while todo:
        wait = todo.pop()
        hosts.add(wait.client.host)
        if wait.place not in places:
            places.add(wait.place)
            for edge in view.edges(wait):
                todo += edge.waits
    return hosts


def _error(cycle: list[tuple[Wait, str]]) -> LinesyncError:
    parts = "; ".join(f"{wait.name} waits for {why}" for wait, why in cycle)
    return DeadlockError(
        f"deadlock: {parts}; take them in the same order everywhere",
        details={"cycle": [{"name": wait.name, "host": wait.client.host, "waits_for": why} for wait, why in cycle]},
    )
