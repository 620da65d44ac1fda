"""Deadlocks: clients that wait for each other in a cycle.

1. Only an object with an owner can be part of a cycle: a lock, held units, or a member's arrival at a barrier or exchange.
   Any client may give units, set an event or send a message, so a wait for these is never *stuck*. A client may want more
   units than the semaphore has, including held units. It then waits for new units and not for the holders, unless a bound
   forbids new units.
2. Stuck clients are found by reduction (Holt, "Some Deadlock Properties of Computer Systems", 1972). At first, all waiting
   clients count as stuck. A client is removed if its wait could end after all other clients did everything that they can do.
   This repeats until nothing changes. The remaining clients can be helped only by each other.
3. A client that does several operations at the same time is never stuck. A holder that does not wait itself is stuck when
   every wait *within* its grant is stuck: a command under ``linesync lock NAME -- CMD`` waits on behalf of the lock's
   holder. A member is stuck when all clients of its host are stuck. A host with another client or a running command can
   act. A host can also act if all its clients wait at the same barrier as other members, because the next client may start
   later.
4. When a cycle has existed for two seconds, the hub asks some hosts for the clients and commands that are active there:
   the hosts in the cycle, and the hosts of all stuck clients that the cycle waits for. One of these may break the cycle. The
   cycle becomes an error for all its clients as soon as the answers prove that no missing answer can break it.
5. If the answers show that the cycle can be broken, they are believed for four seconds. Each later time they are believed
   for twice as long, up to a minute. During this time, the search looks for other cycles of the same waits, without the
   clients that can act.
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

__all__ = ["ASK_AFTER", "Activity", "Deadlocks"]

_Key: TypeAlias = frozenset[tuple[str, str]]
"""The (host, arrival id) of each wait in a cycle."""

ASK_AFTER = 2.0  # seconds from the discovery of a cycle to the question to the hosts
SEARCH_INTERVAL = 0.5  # seconds between two searches while there is a wait for an object with an owner
ASK_AGAIN_AFTER = 4.0  # seconds after which the hosts are asked again if an answer is missing
BELIEVED = 4.0  # seconds for which an answer is believed the first time
BELIEVED_MAX = 60.0  # the longest time for which an answer is believed, in seconds


@dataclass(frozen=True, slots=True)
class Activity:
    """The clients and commands that are active on a host.

    :ivar commands: the number of commands that run on the host for other hosts.
    :ivar clients: the client numbers of all clients on the host.
    :ivar concurrent: the client numbers of the clients that do several operations at the same time.
    """

    commands: int = 0
    clients: frozenset[str] = frozenset()
    concurrent: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Cycle:
    """A cycle that was found.

    :ivar ask_at: the time of the first question to the hosts.
    :ivar hosts: the hosts whose answers may show that the cycle can be broken.
    :ivar asked: the time of the last question to the hosts; None before the first.
    :ivar answers: the answers to the last question, by host.
    """

    ask_at: float
    hosts: set[str]
    asked: float | None = None
    answers: dict[str, Activity] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Belief:
    """An answer that is believed.

    :ivar until: the time until which it is believed.
    :ivar span: the seconds for which it is believed.
    """

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
        self._search_at: float | None = None
        self._seen = -1
        """The value of ``Waits.changes`` at the last search."""

    def __len__(self) -> int:
        return len(self._cycles)

    def next_timer(self) -> float | None:
        """The time of the next :meth:`handle_timer`, or None."""
        if self._search_at is not None:
            return self._search_at
        opened = self._waits.owned_opened_at
        return None if opened is None else opened + SEARCH_INTERVAL

    def handle_timer(self, now: float) -> None:
        """Search for cycles, and ask the hosts of the cycles that have existed long enough."""
        due = self.next_timer()
        if due is None or now < due:
            return
        if self._forget_beliefs(now) or self._seen != self._waits.changes:
            self._search(now)
        if self._search_at is not None:
            self._search_at = now + SEARCH_INTERVAL
        for cycle in self._cycles.values():
            unanswered = cycle.asked is not None and now >= cycle.asked + ASK_AGAIN_AFTER
            if unanswered or (cycle.asked is None and now >= cycle.ask_at):
                cycle.asked, cycle.answers = now, {}
                for host in sorted(cycle.hosts):
                    self._hosts.ask(host)

    def answered(self, host: str, activity: Activity, now: float) -> list[Outcome]:
        """Take the answer of a host, and return the outcomes of the cycles that it proves."""
        outcomes: list[Outcome] = []
        for key, cycle in list(self._cycles.items()):
            if cycle.asked is not None and host in cycle.hosts:
                cycle.answers[host] = activity
                outcomes += self._judge(key, cycle, now)
        return outcomes

    # -- inside ---------------------------------------------------------------------------------------------------------

    def _search(self, now: float) -> None:
        """Find the cycles that exist according to the answers that are believed."""
        self._seen = self._waits.changes
        self._waits.owned_opened_at = None
        owned = any(wait.granted is None and wait.place.owned() for wait in self._waits.all())
        self._search_at = now + SEARCH_INTERVAL if owned else None
        if not owned:
            self._cycles, self._beliefs = {}, {}
            return
        believed = {host: belief.activity for host, belief in self._beliefs.items() if now < belief.until}
        view = _View(self._waits, self._hosts, believed)
        before, self._cycles = self._cycles, {}
        for key, waits in _cycles(view).items():
            cycle = before.get(key) or _Cycle(now + ASK_AFTER, set())
            cycle.hosts = _behind(waits, view)
            self._cycles[key] = cycle

    def _forget_beliefs(self, now: float) -> bool:
        """Drop old answers. Return whether an answer has expired since the last search."""
        search_at = self._search_at or now
        ended = any(search_at - SEARCH_INTERVAL < belief.until <= now for belief in self._beliefs.values())
        self._beliefs = {host: belief for host, belief in self._beliefs.items() if now < belief.until + BELIEVED_MAX}
        return ended

    def _judge(self, key: _Key, cycle: _Cycle, now: float) -> list[Outcome]:
        """Fail a cycle if no missing answer can break it. If all answers are there and the cycle can break, believe them."""
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
                span = min(2 * before.span, BELIEVED_MAX) if before is not None else BELIEVED
            self._beliefs[host] = _Belief(activity, now + span, span)
        self._seen = -1


class _View(Acting):
    """The stuck clients, according to the known answers.

    :param known: the answers by host.
    :param others_act: whether every client of a host without an answer counts as able to act. Otherwise only those clients
        that do not wait count as able to act.
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
        self._elsewhere: dict[tuple[str, Place], bool] = {}
        self._edges: dict[Place, list[Edge]] = {}
        self._place: Place | None = None  # the place that is being examined
        self._readers: dict[Client | str, dict[Place, None]] = defaultdict(dict)
        """For each client or host: the places whose result depends on it because it is stuck."""
        self._reduce()
        self._stuck_of: dict[str, list[Wait]] = defaultdict(list)
        for wait in self.open_waits():
            self._stuck_of[wait.client.host].append(wait)

    def _concurrent(self, client: Client) -> bool:
        known = self._known.get(client.host)
        return self._others_act if known is None else client.number in known.concurrent

    def _reduce(self) -> None:
        """Remove the clients that can act. A place is examined again only after a client that it depends on was removed."""
        waiting: dict[Place, list[Wait]] = defaultdict(list)
        for wait in self.open_waits():
            waiting[wait.place].append(wait)
        places = dict.fromkeys(waiting)
        while places:
            next_places: dict[Place, None] = {}
            for place in places:
                self._place = place
                stuck = [wait for wait in waiting[place] if wait.client in self.stuck]
                able = place.able(stuck, self) if stuck and place.owned() else stuck
                for client in {wait.client: None for wait in able}:
                    next_places |= self._free(client)
                waiting[place] = stuck
            places = next_places
        self._place = None

    def _free(self, client: Client) -> dict[Place, None]:
        """Remove a client that can act. Return the places whose result depends on it."""
        del self.stuck[client]
        self._members.pop(client.host, None)
        return self._readers.pop(client, {}) | self._readers.pop(client.host, {})

    def open_waits(self) -> list[Wait]:
        """The open waits of all stuck clients."""
        return [wait for client in self.stuck for wait in self._open[client]]

    def edges(self, wait: Wait) -> list[Edge]:
        """The reasons why a stuck wait does not end. They are the same for all stuck waits at its place."""
        place = wait.place
        if place not in self._edges:
            found = place.waits_for(wait, self) if place.owned() else []
            # A member is absent because the clients of its host wait at other places. These waits therefore come first.
            self._edges[place] = [
                Edge(tuple(sorted(edge.waits, key=lambda waiting: waiting.place is place)), edge.why)
                for edge in found
                if edge.waits
            ]
        return self._edges[place]

    # -- the interface for the places -----------------------------------------------------------------------------------

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
        return not inner or any(self._acts(inner_wait.client) for inner_wait in inner)

    def holder_waits(self, wait: Wait) -> list[Wait]:
        if wait.held is Hold.BY_HOST:
            return self.waits_of(wait.client.host)
        return self._open.get(wait.client) or self._inner.get((wait.client.host, wait.arrival), [])

    def client(self, client: Client) -> bool:
        return client not in self._open or self._acts(client)

    def client_waits(self, client: Client) -> list[Wait]:
        return self._open.get(client, [])

    def member(self, name: str, at: Place | None = None) -> bool:
        host = host_of(name)
        if host not in self._members:
            self._members[host] = self._host_acts(host)
        if self._members[host]:
            return True
        if at is not None and self._all_wait_at(host, at):
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

    def _all_wait_at(self, host: str, place: Place) -> bool:
        """Whether all clients of a host wait at one place, directly or through a wait within one of their holds."""
        if (host, place) not in self._elsewhere:
            self._elsewhere[host, place] = any(self._waits_elsewhere(client, place) for client in self._clients[host])
        return not self._elsewhere[host, place]

    def _waits_elsewhere(self, client: Client, place: Place) -> bool:
        waits = self._open.get(client)
        if waits is None:
            holds = [wait for wait in self._waits.of_client(client) if wait.granted is not None]
            waits = [inner for wait in holds for inner in self._inner.get((client.host, wait.arrival), ())]
        return not waits or any(wait.place is not place for wait in waits)


def _cycles(view: _View) -> dict[_Key, list[tuple[Wait, str]]]:
    """The cycles of stuck waits. Each wait has the reason why it does not end. No wait is in two cycles."""
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
            cycle = [(stuck, path[stuck]) for stuck in waits[waits.index(wait) :]]
            cycles[frozenset((stuck.client.host, stuck.arrival) for stuck, _ in cycle)] = cycle
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
