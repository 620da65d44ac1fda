"""The search for deadlocks against a reference model: no false alarm in legal histories, and in other histories exactly the
clients that can never continue get the error.

In a *legal* history, the clients follow one order: each lock, semaphore and barrier has a level, and a client that waits
has only obligations of a higher level (the return of a lock or of held units, an arrival at a barrier of members).
All clients can finish, so no client may get the error of a deadlock.

*Other* histories are random. Their reference simulates the future in a copy of the hub. All clients that can act perform
all actions for which other clients may wait, until no action changes anything. The clients that still wait can never
continue.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from linesync.errors import DeadlockError
from linesync.model.decisions import Event, Failed, Granted
from linesync.model.participants import Client
from linesync.model.sync.barriers.terms import Terms
from linesync.model.sync.deadlock import Activity
from linesync.model.sync.semaphore import _Semaphore
from linesync.model.sync.waits import Hold, Wait

from ...helpers import profile
from ...simulated_hub import SimulatedHub

SEEDS = st.integers(0, 2**48)


# -- legal histories ---------------------------------------------------------------------------------------------------


class Script:
    """One thread of a client, which performs its steps in order.

    :ivar shell: whether each step is a separate client, within the holds of the script. Otherwise one client does all steps.
    """

    def __init__(self, hub: SimulatedHub, host: str, number: str, serial: int, *, shell: bool) -> None:
        self.hub, self.host, self.number, self.serial, self.shell = hub, host, number, serial, shell
        self.steps: list[tuple[str, str]] = []
        self.held: list[tuple[str, str, str]] = []  # the kind and the name, the arrival, the client's number
        self.waits_for = ""
        self.made = 0
        if not shell:
            hub.client(f"{host}/{number}")

    def step(self) -> list[Event]:
        kind, what = self.steps.pop(0)
        hub = self.hub
        if kind == "give back":
            (held,) = [one for one in self.held if one[0] == what]
            self.held.remove(held)
            events = hub.give_back(held[1], f"{self.host}/{held[2]}")
            return events + (hub.end(f"{self.host}/{held[2]}") if self.shell else [])
        self.made += 1
        arrival = f"{self.serial}.{self.made}"
        number = f"{self.number}-{self.made}" if self.shell else self.number
        who = f"{self.host}/{number}"
        within = self.held[-1][1] if self.shell and self.held else ""
        self.waits_for = arrival
        if kind == "lock":
            self.held.append((what, arrival, number))
            return hub.lock(arrival, who, what, within=within)
        if kind == "units":
            self.held.append((what, arrival, number))
            return hub.sem(arrival, who, -1 - self.made % 2, name=what, hold=True, within=within)
        if kind == "signal":
            return hub.sem(arrival, who, -1, name=what, within=within)
        members, _, member = what.partition(" ")
        return hub.barrier(arrival, who, members, name=f"barrier {members}", as_member=member, within=within)

    def ended(self, arrival: str) -> None:
        if arrival != self.waits_for:
            return
        self.waits_for = ""
        if self.shell and arrival not in [held[1] for held in self.held]:
            self.hub.clients[self.host].discard(f"{self.number}-{self.made}")


def plan(
    draw: Random, levels: dict[str, int], barriers: list[tuple[str, str]], serial: int
) -> Iterator[tuple[str, str]]:
    """Return the steps of a thread that arrives at these barriers, each given as (its level, its step)."""
    due = sorted(barriers, key=lambda barrier: levels[barrier[0]])
    for position in range(len(due) + 1):
        owed = levels[due[position][0]] if position < len(due) else 1000
        for _ in range(draw.randrange(3)):
            most = owed
            held = []
            while most > 0 and draw.random() < 0.7:
                below = [name for name, level in levels.items() if level < most and not name.startswith("barrier")]
                if not below:
                    break
                what = draw.choice(below)
                most = levels[what]
                yield ("lock" if what.startswith("lock") else "units", what)
                held.append(what)
                if draw.random() < 0.2:
                    yield ("signal", "signal")
            while held:
                yield ("give back", held.pop())
        if position < len(due):
            private = draw.random() < 0.3
            if private:
                yield ("lock", f"private {serial}")
            yield ("arrive", due[position][1])
            if private:
                yield ("give back", f"private {serial}")


class LegalHistory:
    """A few hosts whose scripts follow the order. The timing is random, and the answers of the hosts are delayed."""

    def __init__(self, seed: int) -> None:
        self.draw = draw = Random(seed)
        hosts = ["a", "b", "c", "hub"][: draw.choice([2, 3, 4])]
        self.hub = hub = SimulatedHub(*[host for host in hosts if host != "hub"])
        hub.answering.clear()
        self.scripts: list[Script] = []
        self.answers: list[tuple[float, float, str, Activity | None]] = []
        self.notified = 0
        for host in hosts:
            self._populate(host)
        names = ["lock 1", "lock 2", "lock 3", "pool 1", "pool 2", *(f"barrier {number}" for number in range(4))]
        levels = {name: level for level, name in enumerate(draw.sample(names, len(names)), start=1)}
        for pool in ("pool 1", "pool 2"):
            hub.sem(pool, "hub/giver", 3, name=pool, bound=draw.choice([0, 3]))
        hub.clients["hub"].discard("giver")
        promised: dict[Script, list[tuple[str, str]]] = {script: [] for script in self.scripts}
        for number in range(4):
            chosen = draw.sample(self.scripts, draw.randrange(1, len(self.scripts) + 1))
            members = [f"{script.host}#{number}.{script.serial}" for script in chosen]
            for script, member in zip(chosen, members, strict=True):
                promised[script].append((f"barrier {number}", f"{','.join(members)} {member}"))
        for script in self.scripts:
            script.steps = list(plan(draw, levels, promised[script], script.serial))
        self.signals = sum(step == ("signal", "signal") for script in self.scripts for step in script.steps)

    def _populate(self, host: str) -> None:
        """Start one shell script, several shell scripts under commands, or Python scripts, one of them with two threads."""
        draw, hub = self.draw, self.hub
        shell = draw.random() < 0.4
        count = draw.choice([1, 1, 2, 3])
        if shell and count > 1:
            hub.commands[host] = count
        for number in range(count):
            self.scripts.append(Script(hub, host, f"{number}", len(self.scripts), shell=shell))
        if not shell and draw.random() < 0.3:
            hub.concurrent[host].add("0")
            self.scripts.append(Script(hub, host, "0", len(self.scripts), shell=False))

    def process(self, events: list[Event]) -> None:
        for event in events:
            assert not isinstance(event, Failed), event.error
            if isinstance(event, Granted):
                for script in self.scripts:
                    script.ended(event.arrival)

    def pass_time(self, seconds: float) -> None:
        """The hosts that are asked check their clients after some time, and their answers arrive some time later."""
        until = self.hub.now + seconds
        while self.hub.now < until:
            self.process(self.hub.pass_time(min(0.25, until - self.hub.now)))
            now, draw = self.hub.now, self.draw
            for _, host in self.hub.asked[self.notified :]:
                looks = now + draw.choice([0.0, 0.3, 1.0])
                self.answers.append((looks, looks + draw.choice([0.0, 0.3, 2.0]), host, None))
            self.notified = len(self.hub.asked)
            for answer in list(self.answers):
                looks, comes, host, activity = answer
                if now >= looks and activity is None:
                    self.answers.remove(answer)
                    self.answers.append((looks, comes, host, self.hub.activity(host)))
                elif now >= comes and activity is not None:
                    self.answers.remove(answer)
                    self.process(self.hub.follow_up(self.hub.services.answered(host, activity, now)))

    def run(self) -> None:
        draw, hub = self.draw, self.hub
        while True:
            ready = [script for script in self.scripts if script.steps and not script.waits_for]
            if not ready and not self.signals:
                break
            if self.signals and draw.random() < (0.1 if ready else 0.5):
                self.signals -= 1
                self.process(hub.sem(f"signal {self.signals}", "hub/giver", 1, name="signal"))
                hub.clients["hub"].discard("giver")
            elif ready:
                self.process(draw.choice(ready).step())
            if draw.random() < 0.5:
                self.pass_time(draw.choice([0.1, 0.5, 2.0, 4.0]))
        assert not [script.waits_for for script in self.scripts if script.steps or script.waits_for], "all finish"


@profile()
@given(SEEDS)
def test_clients_that_follow_one_order_are_never_in_a_deadlock(seed: int) -> None:
    LegalHistory(seed).run()


# -- any histories -----------------------------------------------------------------------------------------------------


class AnyHistory:
    """Clients that take, hold, arrive and nest at random, until no client does anything more."""

    def __init__(self, seed: int) -> None:
        self.draw = draw = Random(seed)
        hosts = ["a", "b", "c", "hub"][: draw.choice([2, 2, 3, 4])]
        self.hub = hub = SimulatedHub(*[host for host in hosts if host != "hub"])
        self.clients = [f"{host}/{number}" for host in hosts for number in range(1, 1 + draw.choice([1, 2, 3]))]
        for who in self.clients:
            host, _, number = who.partition("/")
            if draw.random() < 0.15:
                hub.concurrent[host].add(number)
        for host in hosts:
            hub.commands[host] = draw.random() < 0.15
            if draw.random() < 0.15:
                hub.client(f"{host}/idle")
        hub.sem("g", "hub/giver", 2, name="pool", bound=draw.choice([0, 2]))
        hub.clients["hub"].discard("giver")
        for serial in range(draw.randrange(4, 30)):
            self.act(f"x{serial}")

    def act(self, arrival: str) -> None:
        draw, hub = self.draw, self.hub
        waits = hub.services._waits.all()
        ready = [who for who in self.clients if self.is_ready(Client(*who.split("/")), waits)]
        if not ready:
            return
        who = draw.choice(ready)
        host, _, number = who.partition("/")
        held = [wait for wait in waits if wait.client == Client(host, number) and wait.held is not None]
        around = [wait.arrival for wait in waits if wait.client.host == host and wait.held and wait not in held]
        within = draw.choice(around) if around and draw.random() < 0.4 else ""
        kind = draw.choice(["lock"] * 5 + ["units"] * 3 + ["arrive"] * 3 + ["give back", "end", "give", "signal"])
        if kind == "lock":
            hub.lock(arrival, who, draw.choice("123"), keep=draw.random() < 0.15, within=within)
        elif kind == "units":
            hold = draw.random() < 0.8
            hub.sem(arrival, who, -draw.choice([1, 1, 2, 3]), name="pool", hold=hold, within=within)
        elif kind == "arrive":
            members, member = draw.choice(
                [("a,b", None), ("b,c", None), ("a,b,hub", None), ("a#1,a#2,b", f"{host}#{number}")]
            )
            hub.barrier(arrival, who, members, name=draw.choice("45"), as_member=member, within=within)
        elif kind == "give back" and held:
            hub.give_back(draw.choice(held).arrival, who)
        elif kind == "end":
            hub.end(who)
        elif kind == "give":
            hub.sem(arrival, who, 1, name="pool")
        elif kind == "signal":
            hub.sem(arrival, who, -1, name="never given", within=within)

    def is_ready(self, client: Client, waits: list[Wait]) -> bool:
        if client.number in self.hub.concurrent[client.host]:
            return True
        own = [wait for wait in waits if wait.client == client]
        outer = {wait.arrival for wait in own if wait.granted is not None}
        inner = [wait for wait in waits if wait.client.host == client.host and wait.granted is None]
        return all(wait.granted is not None for wait in own) and not any(wait.within in outer for wait in inner)


class Future:
    """The reference. In a copy of the hub, all clients that can act perform all possible actions until nothing changes."""

    def __init__(self, hub: SimulatedHub) -> None:
        self.hub = deepcopy(hub)
        self.services = self.hub.services
        self.before = hub.services._waits.all()
        self.clients: dict[str, set[Client]] = {}
        for wait in self.before:
            if wait.held is not Hold.BY_HOST:
                self.clients.setdefault(wait.client.host, set()).add(wait.client)
        self.made = 0
        self.gifts: set[str] = set()
        self.wanted: dict[str, tuple[str, int]] = {}
        """For each semaphore, the number of units that waiting arrivals want to take without holding them."""
        for wait in self.before:
            pool = wait.place
            if isinstance(pool, _Semaphore) and wait.granted is None and wait not in pool._holders:
                self.wanted[wait.arrival] = (pool.key[1], pool._queue[wait])

    def waits(self, arrival: str) -> bool:
        return any(wait.arrival == arrival and wait.granted is None for wait in self.services._waits.all())

    def open(self, client: Client) -> list[Wait]:
        return [wait for wait in self.before if wait.client == client and wait.granted is None]

    def may_act(self, client: Client) -> bool:
        if client.number in self.hub.concurrent[client.host]:
            return True
        waits = self.open(client)
        if waits:
            return any(not self.waits(wait.arrival) for wait in waits)
        held = [wait for wait in self.before if wait.client == client and wait.held is Hold.BY_CLIENT]
        return all(self.may_give_back(wait) for wait in held)

    def may_give_back(self, held: Wait) -> bool:
        if held.held is Hold.BY_HOST:
            return self.host_may_act(held.client.host)
        if self.open(held.client) or held.client.number in self.hub.concurrent[held.client.host]:
            return self.may_act(held.client)
        inner = self.inner(held)
        return not inner or any(self.may_act(wait.client) for wait in inner)

    def inner(self, held: Wait) -> list[Wait]:
        return [
            wait
            for wait in self.before
            if wait.granted is None and wait.client.host == held.client.host and wait.within == held.arrival
        ]

    def host_may_act(self, host: str) -> bool:
        clients = self.clients.get(host, set())
        others = self.hub.clients[host] - {client.number for client in clients}
        return not clients or bool(self.hub.commands[host] or others) or any(map(self.may_act, clients))

    def all_at(self, host: str, name: str) -> bool:
        """Whether all clients of a host wait at this barrier, directly or through a wait within their holds."""
        for client in self.clients[host]:
            held = [wait for wait in self.before if wait.client == client and wait.held is Hold.BY_CLIENT]
            waits = self.open(client) or [inner for wait in held for inner in self.inner(wait)]
            if not waits or any(wait.place.title != f"barrier '{name}'" for wait in waits):
                return False
        return True

    def arrive(self) -> None:
        for row in self.services.barriers.status(self.hub.now):
            missing, members = row.missing, row.members
            assert isinstance(missing, dict) and members is not None
            for member in missing:
                host = member.partition("#")[0]
                if self.host_may_act(host) or self.all_at(host, row.name):
                    self.made += 1
                    terms = Terms(count=len(members), members=frozenset(members))
                    new = (f"new{self.made}", "default", row.name, terms, Client(host, f"new{self.made}"))
                    self.hub.follow_up([*self.services.barriers.arrive(*new, self.hub.now, None, member)])

    def give(self) -> None:
        """Let another client give the units that the first taker would lack after the return of all holds, and later units."""
        for row in self.services.semaphores.status(self.hub.now):
            queue, holders = row.queue, row.holders
            units_in_use = row.value + sum(who.units for who in holders)
            name = row.name
            if queue and (queue[0].wants > units_in_use or name in self.gifts):
                self.gifts.add(name)
                self.made += 1
                bound = row.bound
                units = bound - units_in_use if bound else sum(who.wants for who in queue)
                self.hub.sem(f"new{self.made}", "hub/stranger", units, name=name)
                self.hub.clients["hub"].discard("stranger")

    def stuck(self) -> set[str]:
        """Return the arrivals that can never end."""
        while True:
            remaining = self.remaining()
            for held in self.before:
                if held.held is not None and self.may_give_back(held):
                    self.hub.give_back(held.arrival, f"{held.client.host}/{held.client.number}")
            taken = [wait for wait in self.services._waits.all() if wait.held is not None]
            for wait in taken:  # the grants of the arrivals that have continued
                if wait.arrival not in {held.arrival for held in self.before if held.held is not None}:
                    self.hub.give_back(wait.arrival, f"{wait.client.host}/{wait.client.number}")
            self.arrive()
            self.give()
            if remaining == self.remaining() and (not self.give_again() or remaining == self.remaining()):
                return remaining

    def remaining(self) -> set[str]:
        return {wait.arrival for wait in self.before if wait.granted is None and self.waits(wait.arrival)}

    def give_again(self) -> bool:
        """Let a client that took units without holding them give the same number of units, once."""
        served = [arrival for arrival in self.wanted if not self.waits(arrival)]
        for arrival in served:
            self.made += 1
            name, units = self.wanted.pop(arrival)
            self.hub.sem(f"new{self.made}", "hub/stranger", units, name=name)
        return bool(served)


@profile()
@given(SEEDS)
def test_exactly_the_clients_in_deadlocks_get_the_error(seed: int) -> None:
    hub = AnyHistory(seed).hub
    stuck = Future(hub).stuck()
    quiet = 0.0
    while quiet < (150.0 if stuck or hub.asked else 5.0):
        events = hub.pass_time(0.5)
        faults = {event.arrival: event.error for event in events if isinstance(event, Failed)}
        quiet = 0.0 if faults else quiet + 0.5
        if not faults:
            continue
        assert set(faults) <= stuck, "clients that can still continue get no error"
        for fault in faults.values():
            assert isinstance(fault, DeadlockError)
            cycle = fault.details["cycle"]
            assert isinstance(cycle, list)
            assert len(cycle) == list(faults.values()).count(fault), "all clients in the cycle get the error"
        stuck = Future(hub).stuck()
    assert not stuck, "clients that can never continue get the error"
