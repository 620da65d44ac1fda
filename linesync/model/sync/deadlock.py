"""Deadlocks: those who wait for each other in a circle.

1. Only what has an owner can be waited for in a circle: a lock, held units, a member's arrival at a barrier or exchange.
   Anybody may give units, set an event or send a message, so who waits for that is never stuck: who wants more units than
   there are, held ones included, waits for a giver and not for the holders, unless a bound leaves no room for his gift.
2. Who is stuck is found by reduction (Holt, "Some Deadlock Properties of Computer Systems", 1972): at first every client
   that waits; then, until nothing changes, each whose wait could end well if all the others did what they can is taken
   out. Whoever is left can only be helped by others who are left.
3. A client is no part of it while it does several things at once. A holder that does not wait itself is stuck when
   everything that waits *within* what it holds is: a command under ``linesync lock NAME -- CMD`` waits for its holder. A
   member is stuck when all clients of its host are; a host with another client, or with a running command, may act. So
   may one whose clients all wait at the very barrier, as other members: it may be that the next has yet to be started.
4. A circle that has stood for two seconds has the hosts asked who else is active there: those in it, and those of all who
   are stuck and whom they wait for, since one of these may free them too. It is an error for everybody in it as soon as
   the answers rule out that it ends, whatever the others will answer.
5. Where the answers tell that it may end, they are believed for a while: four seconds, then twice as long each time, a
   minute at most. Meanwhile other circles of the same waits are seen, which do not lead past whoever is active.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ...errors import DeadlockError, LinesyncError
from ..decisions import Outcome
from ..hosts.membership import Membership
from ..participants import Cause, Client
from .waits import Acting, Edge, Hold, Place, Wait, Waits

__all__ = ["STANDING", "Activity", "Deadlocks"]

_Key: TypeAlias = frozenset[tuple[str, str]]
"""The (host, arrival) of all in a circle."""

STANDING = 2.0  # seconds that a circle stands before it is an error
LOOK = 0.5  # seconds between looks while somebody waits for what has an owner
UNANSWERED = 4.0  # seconds before hosts are asked again that did not all answer
BELIEVED = 4.0  # seconds for which an answer is believed, at first
BELIEVED_MOST = 60.0


@dataclass(frozen=True, slots=True)
class Activity:
    """Who may act on a host.

    :ivar commands: how many commands run there for others.
    :ivar clients: the numbers of all clients there.
    :ivar concurrent: those of them that do several things at once.
    """

    commands: int = 0
    clients: frozenset[str] = frozenset()
    concurrent: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Circle:
    """A circle that stands.

    :ivar ask_at: when its hosts are to be asked.
    :ivar hosts: those whose answers may tell that it ends.
    :ivar asked: when they were asked last.
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
    """The search for circles, and what is known of each. Times are monotonic seconds."""

    def __init__(self, waits: Waits, hosts: Membership) -> None:
        self._waits = waits
        self._hosts = hosts
        self._circles: dict[_Key, _Circle] = {}
        self._beliefs: dict[str, _Belief] = {}
        self._look_at: float | None = None
        self._seen = -1
        """Where the waits stood when they were last looked at."""

    def __len__(self) -> int:
        return len(self._circles)

    def next_timer(self) -> float | None:
        """When to call :meth:`handle_timer`, or None."""
        if self._look_at is not None:
            return self._look_at
        opened = self._waits.owned_opened_at
        return None if opened is None else opened + LOOK

    def handle_timer(self, now: float) -> None:
        """Look for circles; have hosts asked about those that stand."""
        due = self.next_timer()
        if due is None or now < due:
            return
        if self._forget_beliefs(now) or self._seen != self._waits.changes:
            self._look(now)
        if self._look_at is not None:
            self._look_at = now + LOOK
        for circle in self._circles.values():
            unanswered = circle.asked is not None and now >= circle.asked + UNANSWERED
            if unanswered or (circle.asked is None and now >= circle.ask_at):
                circle.asked, circle.answers = now, {}
                for host in sorted(circle.hosts):
                    self._hosts.ask(host)

    def answered(self, host: str, activity: Activity, now: float) -> list[Outcome]:
        """A host told who is active there."""
        outcomes: list[Outcome] = []
        for key, circle in list(self._circles.items()):
            if circle.asked is not None and host in circle.hosts:
                circle.answers[host] = activity
                outcomes += self._judge(key, circle, now)
        return outcomes

    # -- inside ---------------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        """Find the circles that stand as far as is known."""
        self._seen = self._waits.changes
        self._waits.owned_opened_at = None
        owned = any(wait.granted is None and wait.place.owned() for wait in self._waits.all())
        self._look_at = now + LOOK if owned else None
        if not owned:
            self._circles, self._beliefs = {}, {}
            return
        believed = {host: belief.activity for host, belief in self._beliefs.items() if now < belief.until}
        view = _View(self._waits, self._hosts, believed)
        before, self._circles = self._circles, {}
        for key, waits in _circles(view).items():
            circle = before.get(key) or _Circle(now + STANDING, set())
            circle.hosts = _behind(waits, view)
            self._circles[key] = circle

    def _forget_beliefs(self, now: float) -> bool:
        """Whether an answer is no longer believed since the last look."""
        look_at = self._look_at or now
        ended = any(look_at - LOOK < belief.until <= now for belief in self._beliefs.values())
        self._beliefs = {host: belief for host, belief in self._beliefs.items() if now < belief.until + BELIEVED_MOST}
        return ended

    def _judge(self, key: _Key, circle: _Circle, now: float) -> list[Outcome]:
        """End the circle once nobody can break it, whatever those say who have not answered."""
        if not _hosts(key) <= circle.answers.keys():
            return []
        found = _circles(_View(self._waits, self._hosts, circle.answers, others_act=True)).get(key)
        if found is not None:
            del self._circles[key]
            error = _error(found)
            return self._waits.fail([(wait, error) for wait, _ in found], Cause.DEADLOCK, now)
        if circle.hosts <= circle.answers.keys():
            del self._circles[key]
            self._believe(circle.answers, now)
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
    """Who is stuck, as far as is known.

    :param known: what hosts told.
    :param others_act: on all other hosts everybody may act; else nobody but those who do not wait.
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
        self._place: Place | None = None  # that is being asked
        self._readers: dict[Client | str, dict[Place, None]] = defaultdict(dict)
        """Client, or host, to the places that were told that it is stuck."""
        self._reduce()
        self._stuck_of: dict[str, list[Wait]] = defaultdict(list)
        for wait in self.open_waits():
            self._stuck_of[wait.client.host].append(wait)

    def _concurrent(self, client: Client) -> bool:
        known = self._known.get(client.host)
        return self._others_act if known is None else client.number in known.concurrent

    def _reduce(self) -> None:
        """Take out whoever may go on. Each place is asked again only when one has that it was told to be stuck."""
        waiting: dict[Place, list[Wait]] = defaultdict(list)
        for wait in self.open_waits():
            waiting[wait.place].append(wait)
        asked = dict.fromkeys(waiting)
        while asked:
            again: dict[Place, None] = {}
            for place in asked:
                self._place = place
                left = [wait for wait in waiting[place] if wait.client in self.stuck]
                able = place.able(left, self) if left and place.owned() else left
                for client in {wait.client: None for wait in able}:
                    again |= self._free(client)
                waiting[place] = left
            asked = again
        self._place = None

    def _free(self, client: Client) -> dict[Place, None]:
        """It may go on: the places that relied on the contrary."""
        del self.stuck[client]
        self._members.pop(client.host, None)
        return self._readers.pop(client, {}) | self._readers.pop(client.host, {})

    def open_waits(self) -> list[Wait]:
        """The waits of those who are stuck."""
        return [wait for client in self.stuck for wait in self._open[client]]

    def edges(self, wait: Wait) -> list[Edge]:
        """What a stuck wait waits for; the same for all who are stuck at its place."""
        place = wait.place
        if place not in self._edges:
            found = place.waits_for(wait, self) if place.owned() else []
            # A member is kept away by what its host's clients wait for elsewhere, rather than by those who are there.
            self._edges[place] = [
                Edge(tuple(sorted(edge.waits, key=lambda one: one.place is place)), edge.why)
                for edge in found
                if edge.waits
            ]
        return self._edges[place]

    # -- what places ask ------------------------------------------------------------------------------------------------

    def holder(self, wait: Wait) -> bool:
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
        host = name.partition("#")[0]
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
        return self._stuck_of[name.partition("#")[0]]

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
        """Whether all clients of a host wait at one place, by themselves or for those who act within what they hold."""
        if (host, place) not in self._apart:
            self._apart[host, place] = any(self._is_apart(client, place) for client in self._clients[host])
        return not self._apart[host, place]

    def _is_apart(self, client: Client, place: Place) -> bool:
        waits = self._open.get(client)
        if waits is None:
            holds = [wait for wait in self._waits.of_client(client) if wait.granted is not None]
            waits = [inner for wait in holds for inner in self._inner.get((client.host, wait.arrival), ())]
        return not waits or any(wait.place is not place for wait in waits)


def _circles(view: _View) -> dict[_Key, list[tuple[Wait, str]]]:
    """Circles of stuck waits, each wait with what it waits for. No wait is in two of them."""
    circles: dict[_Key, list[tuple[Wait, str]]] = {}
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
            circle = [(one, path[one]) for one in waits[waits.index(wait) :]]
            circles[frozenset((one.client.host, one.arrival) for one, _ in circle)] = circle
        seen.update(path)
    return circles


def _hosts(key: _Key) -> set[str]:
    return {host for host, _ in key}


def _behind(circle: list[tuple[Wait, str]], view: _View) -> set[str]:
    """The hosts of a circle, and of all who are stuck and whom it waits for in any way."""
    hosts: set[str] = set()
    places: set[Place] = set()
    todo = [wait for wait, _ in circle]
    while todo:
        wait = todo.pop()
        hosts.add(wait.client.host)
        if wait.place not in places:
            places.add(wait.place)
            for edge in view.edges(wait):
                todo += edge.waits
    return hosts


def _error(circle: list[tuple[Wait, str]]) -> LinesyncError:
    told = "; ".join(f"{wait.name} waits for {why}" for wait, why in circle)
    return DeadlockError(
        f"deadlock: {told}; let all take them in the same order",
        details={"cycle": [{"name": wait.name, "host": wait.client.host, "waits_for": why} for wait, why in circle]},
    )
