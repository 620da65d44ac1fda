"""Random inputs for all services, a store that keeps the rows, and the visible state of the services."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from linesync.errors import LinesyncError
from linesync.model.decisions import Ended, Failed, Granted, Objects
from linesync.model.participants import Cause, Client
from linesync.model.state.hosts import HostState
from linesync.model.state.principal import Principal
from linesync.model.state.testbus import RunOptions, Want
from linesync.model.sync.barriers.terms import Reuse, Terms
from linesync.model.sync.deadlock import Activity, Deadlocks
from linesync.model.sync.namespaces import Owner
from linesync.model.sync.services import SyncServices

__all__ = ["Input", "Inputs", "Store", "begin_search_again", "perform", "seen"]

Input = Callable[[SyncServices, float], Any]
"""A call of the services. It returns events or another value that can be compared."""

HOSTS = ("h1", "h2", "h3", "h4", "h5")
NAMESPACES = ("default", "default", "default", "run", "@own")
TIMEOUTS = (None, None, None, 0, 0.5, 2.0, 40.0)
MEMBERS = (("h1", "h2"), ("h1", "h2#x", "h3"), ("h1", "h2", "h3", "h4"))
REUSES = ("", "", "", "once", "linger=3")


class Store:
    """The rows of a journal, as a store on a disk has them after each input.

    :ivar rows: kind and key to JSON.
    """

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], str] = {}
        self.taken = 0

    def take(self, services: SyncServices) -> None:
        """Store the changes of the last input."""
        rows = services.journal.take()
        assert len({row[:2] for row in rows}) == len(rows), "each object has one row"
        self.taken = len(rows)
        for kind, key, record in rows:
            if record is None:
                self.rows.pop((kind, key), None)
            else:
                self.rows[kind, key] = json.dumps(record.as_json())

    @staticmethod
    def dump(services: SyncServices) -> dict[tuple[str, str], str]:
        """Return all rows of the services, made from their current state."""
        rows = services.journal.all()
        assert len({row[:2] for row in rows}) == len(rows)
        return {(kind, key): json.dumps(record.as_json()) for kind, key, record in rows if record is not None}

    def shuffled(self, random: Random) -> list[tuple[str, str, str]]:
        rows = [(kind, key, text) for (kind, key), text in self.rows.items()]
        random.shuffle(rows)
        return rows


class Inputs:
    """Makes random inputs. They depend only on the random numbers and on the outcomes of earlier inputs."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.sessions = dict.fromkeys(HOSTS, 0)
        self.alive = ["hub"]
        """The hosts whose clients can send requests."""
        self.arrivals: list[tuple[str, Client, Callable[[Client], Input]]] = []
        self.provisional: list[tuple[str, Client]] = []
        self.held: list[tuple[str, Client]] = []
        self.exchanging: list[tuple[str, Client]] = []
        self.handles: list[str] = []
        self.keys = 0
        self.uses: dict[str, Any] = {}
        self.kinds: list[Callable[[], Input]] = [
            *([self.barrier] * 6),
            *([self.members] * 6),
            *([self.semaphore] * 6),
            *([self.lock] * 5),
            *([self.event] * 5),
            *([self.send] * 4),
            *([self.receive] * 4),
            *([self.gather] * 4),
            *([self.exchange] * 5),
            *([self.given] * 4),
            *([self.confirm] * 8),
            *([self.end_one] * 4),
            *([self.retry] * 3),
            *([self.register] * 3),
            *([self.line] * 2),
            *([self.ended] * 2),
            self.going_down,
            *([self.client_gone] * 2),
            *([self.answered] * 2),
            *([self.reset] * 1),
            *([self.held_before] * 1),
            *([self.namespace] * 2),
            *([self.test] * 3),
            *([self.claim] * 6),
            *([self.attach] * 2),
            *([self.delete] * 2),
            *([self.run] * 4),
            *([self.report] * 4),
        ]

    def next(self) -> Input:
        return self.random.choice(self.kinds)()

    def learn(self, events: Any, hosts: Iterable[HostState]) -> None:
        """Remember the grants and the live hosts."""
        self.alive = ["hub", *(host.name for host in hosts if host.state != "lost")]
        for event in events if isinstance(events, list) else ():
            if isinstance(event, Granted) and isinstance(event.value, Objects):
                self.handles += event.value.handles
            if isinstance(event, Granted) and event.provisional:
                self.provisional.append((event.arrival, event.client))

    # -- parts -----------------------------------------------------------------------------------------------------------

    def client(self, host: str = "") -> Client:
        host = host if host in self.alive else self.random.choice(self.alive)
        number = self.random.choice("12")
        return Client(host, number, Principal(line="l", host=host, script=number))

    def name(self) -> str:
        return self.random.choice("aab")

    def where(self) -> str:
        return self.random.choice(NAMESPACES)

    def timeout(self) -> float | None:
        return self.random.choice(TIMEOUTS)

    def arrive(self, call: Callable[[SyncServices, str, Client, float], Any], host: str = "") -> Input:
        """Return a new arrival, which may be repeated later."""
        arrival = f"x{len(self.arrivals)}"

        def by(client: Client) -> Input:
            return lambda services, now: call(services, arrival, client, now)

        client = self.client(host)
        self.arrivals.append((arrival, client, by))
        return by(client)

    def within(self) -> str:
        return self.random.choice(self.held)[0] if self.held and self.random.random() < 0.3 else ""

    # -- arrivals --------------------------------------------------------------------------------------------------------

    def usual(self, name: str, make: Callable[[], Any]) -> Any:
        """Return the usual terms of a name. Most arrivals with other terms are refused."""
        made = make()
        return made if self.random.random() < 0.05 else self.uses.setdefault(name, made)

    def barrier(self) -> Input:
        def terms() -> Terms:
            return Terms(count=self.random.choice((1, 2, 2, 3, 3)), reuse=Reuse.read(self.random.choice(REUSES)))

        name = self.name()
        member = self.random.choice((None, None, None, "h1"))
        return self.at_barrier(self.where(), name, self.usual(name, terms), member)

    def members(self) -> Input:
        def terms() -> Terms:
            members = frozenset(self.random.choice(MEMBERS))
            reuse = Reuse.read(self.random.choice(REUSES))
            tolerate, rejoin = self.random.random() < 0.5, self.random.random() < 0.2
            return Terms(count=len(members), members=members, reuse=reuse, tolerate=tolerate, rejoin=rejoin)

        name = "m" + self.name()
        chosen = self.usual(name, terms)
        member = self.random.choice(sorted(chosen.members))
        return self.at_barrier(self.where(), name, chosen, member, member.partition("#")[0])

    def at_barrier(self, ns: str, name: str, terms: Terms, member: str | None, host: str = "") -> Input:
        timeout, within = self.timeout(), self.within()
        abort = "no power" if self.random.random() < 0.05 else ""
        everybody = self.random.random() < 0.2
        return self.arrive(
            lambda services, arrival, client, now: services.barriers.arrive(
                arrival,
                ns,
                name,
                terms,
                client,
                now,
                timeout,
                member,
                abort=abort,
                all_parties=everybody,
                within=within,
            ),
            host,
        )

    def semaphore(self) -> Input:
        delta, timeout, ns, name, within = (
            self.random.choice((-3, -1, -1, -2, 0, 1, 2, 3)),
            self.timeout(),
            self.where(),
            self.name(),
            self.within(),
        )
        hold = delta < 0 and self.random.random() < 0.5
        bound = self.random.choice((0, 0, 0, 0, 4))
        return self.arrive(
            lambda services, arrival, client, now: services.semaphores.change(
                arrival, ns, name, delta, client, now, timeout, hold=hold, bound=bound, within=within
            )
        )

    def lock(self) -> Input:
        timeout, ns, name, within = self.timeout(), self.where(), self.name(), self.within()
        keep = self.random.random() < 0.4
        return self.arrive(
            lambda services, arrival, client, now: services.locks.take(
                arrival, ns, name, client, now, timeout, keep=keep, within=within
            )
        )

    def event(self) -> Input:
        names = tuple(self.random.sample("abc", self.random.choice((1, 1, 2, 3))))
        kind, ns, timeout, any_ = (
            self.random.choice(("set", "clear", "wait", "wait")),
            self.where(),
            self.timeout(),
            self.random.random() < 0.5,
        )
        if kind == "wait":
            return self.arrive(
                lambda services, arrival, client, now: services.events.wait(
                    arrival, ns, names, any_, client, now, timeout
                )
            )
        return self.arrive(
            lambda services, arrival, client, now: getattr(services.events, kind)(arrival, ns, names, client, now)
        )

    def send(self) -> Input:
        ns, topic, tag = self.random.choice(NAMESPACES[:4]), self.name(), self.random.choice(("", "", "#x"))
        return self.arrive(
            lambda services, arrival, client, now: services.mailbox.send(
                arrival, ns, topic, (arrival, "\ud800é"), client.host + tag, client, now
            )
        )

    def receive(self) -> Input:
        ns, topic, timeout = self.where(), self.name(), self.timeout()
        first, most, others = self.random.choice((1, 2, 3, 5)), self.random.choice((1, 50)), self.random.random() < 0.5
        return self.arrive(
            lambda services, arrival, client, now: services.mailbox.receive(
                arrival, ns, topic, first, most, others, client.host, client, now, timeout
            )
        )

    def gather(self) -> Input:
        ns, topic, timeout = self.random.choice(NAMESPACES[:4]), self.name(), self.timeout()
        role = self.random.choice(("", "", "", "r"))
        return self.arrive(
            lambda services, arrival, client, now: services.mailbox.receive_all(
                arrival, ns, topic, client.host, role, client, now, timeout
            )
        )

    def exchange(self) -> Input:
        ns, name, timeout = self.where(), self.name(), self.timeout()
        members = self.usual(f"exchange {name}", lambda: self.random.choice(MEMBERS))
        member = self.random.choice(members)
        made = self.arrive(
            lambda services, arrival, client, now: services.exchanges.open(
                arrival, ns, name, members, member, 5, client, now, timeout
            ),
            member.partition("#")[0],
        )
        self.exchanging.append(self.arrivals[-1][:2])
        return made

    # -- inputs after an arrival -------------------------------------------------------------------------------------------

    def given(self) -> Input:
        if not self.exchanging:
            return self.exchange()
        arrival, client = self.random.choice(self.exchanging[-4:])
        self.keys += 1
        key = self.keys
        if self.random.random() < 0.05:
            return lambda services, now: services.exchanges.cannot_keep(arrival, client, "the disk is full", now)
        return lambda services, now: services.exchanges.given(arrival, client, key, now)

    def confirm(self) -> Input:
        if self.provisional and self.random.random() < 0.8:
            arrival, client = self.provisional.pop(self.random.randrange(len(self.provisional)))
            self.held.append((arrival, client))
        elif self.arrivals:
            arrival, client, _ = self.random.choice(self.arrivals[-8:])
        else:
            return self.lock()
        if self.random.random() < 0.5:
            return lambda services, now: services.confirm(arrival, client)
        return lambda services, now: services.commit(arrival, client, now)

    def end_one(self) -> Input:
        if self.held and self.random.random() < 0.6:
            arrival, client = self.held.pop(self.random.randrange(len(self.held)))
            return lambda services, now: services.give_back(arrival, client, now)
        if not self.arrivals:
            return self.barrier()
        arrival, client, _ = self.random.choice(self.arrivals[-12:])
        return lambda services, now: services.withdraw(arrival, client, now)

    def retry(self) -> Input:
        known = [arrival for arrival in self.arrivals[-12:] if arrival[1].host in self.alive]
        if not known:
            return self.event()
        _, client, by = self.random.choice(known)
        return by(self.client(client.host))

    # -- hosts and namespaces ----------------------------------------------------------------------------------------------

    def session(self, host: str) -> str:
        return f"{host}/{self.sessions[host]}"

    def register(self) -> Input:
        host = self.random.choice(HOSTS)
        self.sessions[host] += self.random.random() < 0.5
        session, line = self.session(host), f"line of {host}"
        published = {
            "group": self.random.choice(("", "", "", "g")),
            "role": self.random.choice(("", "r")),
            "group_size": self.random.choice((*[""] * 8, "3")),
        }
        return lambda services, now: services.register(
            host, session, f"boot {session}", line, now, capabilities=("run",), published=published
        )

    def line(self) -> Input:
        host = self.random.choice(HOSTS)
        session = self.session(host)
        if self.random.random() < 0.4:
            return lambda services, now: services.line_lost(host, session, "unplugged")
        line = self.random.choice((f"line of {host}", "other line"))
        return lambda services, now: services.line_back(host, session, line, now)

    def ended(self) -> Input:
        host, cause = self.random.choice(HOSTS), self.random.choice((Cause.STOPPED, Cause.RESTARTED))
        session = self.session(host)
        return lambda services, now: services.ended(host, session, cause, "it says so", now)

    def going_down(self) -> Input:
        host = self.random.choice(HOSTS)
        session = self.session(host)
        return lambda services, now: services.going_down(host, session)

    def client_gone(self) -> Input:
        client, later = self.client(), self.random.choice((0.0, 0.0, 3.0, 20.0))
        return lambda services, now: services.client_gone(client, now, Cause.CLIENT_GONE, "", lease_end=now + later)

    def held_before(self) -> Input:
        return lambda services, now: services.grant_no_holds_before(now + 8.0)

    def hear(self, host: str) -> Input:
        session = self.session(host)
        return lambda services, now: services.heard(host, session, now)

    def answered(self) -> Input:
        host = self.random.choice((*HOSTS, "hub"))
        clients = frozenset(self.random.choice(((), ("1",), ("1", "2"), ("9",))))
        activity = Activity(self.random.choice((0, 0, 0, 1)), clients, frozenset())
        return lambda services, now: services.answered(host, activity, now)

    def reset(self) -> Input:
        ns, names = self.where(), self.random.choice(((), ("a",), ("a", "mb")))
        return lambda services, now: services.reset(ns, names, "h1", now)[2]

    def namespace(self) -> Input:
        ns, client, kind = self.random.choice(("@own", "fresh", "run")), self.client(), self.random.randrange(6)
        owner = Owner(client) if self.random.random() < 0.5 else Owner(client, 7, "100", "sleep")
        if kind < 3:
            return lambda services, now: services.begin_namespace(ns, owner, now)
        if kind == 3:
            return lambda services, now: services.owner_gone(client.host, 7, "100", now)
        return lambda services, now: services.end_namespace(ns, "h1", now)[2]

    # -- test bus ----------------------------------------------------------------------------------------------------------

    def test(self) -> Input:
        client, kind = self.client(self.random.choice(("", "hub"))), self.random.randrange(4)
        owner = Owner(client, 7, "100", "sleep") if kind == 1 else None
        within = self.handle("test") if kind == 2 else ""
        return self.arrive(
            lambda services, arrival, client, now: services.testbus.create_test(
                arrival, "nfs", client, now, within=within, owner=owner, keep=kind == 3
            ),
            client.host,
        )

    def handle(self, kind: str) -> str:
        """Return one of the last handles of a kind, or another one."""
        known = [handle for handle in self.handles[-20:] if handle.startswith(kind)]
        return self.random.choice([*known[-3:], f"{kind}{self.random.randrange(2, 12)}"])

    def claim(self) -> Input:
        test, timeout = self.handle("test"), self.timeout()
        roles = self.random.sample("rst", self.random.choice((1, 1, 2)))
        wants = [
            Want(role, self.random.choice(("", *HOSTS)), self.random.choice(((), ("run",))), self.random.random() < 0.4)
            for role in roles
        ]
        return self.arrive(
            lambda services, arrival, client, now: services.testbus.claim(arrival, test, wants, client, now, timeout)
        )

    def attach(self) -> Input:
        handle, digest = self.handle(self.random.choice(("test", "claim", "host"))), self.random.choice("ab") * 64
        kind, name, value = self.random.randrange(4), self.random.choice("XY"), str(self.random.random())
        if kind == 0:
            return lambda services, now: services.testbus.set_variables(handle, {name: value, "Z": ""})
        if kind == 1:
            return lambda services, now: services.testbus.unset_variables(handle, [name])
        if kind == 2:
            return self.arrive(
                lambda services, arrival, client, now: services.testbus.create_command(
                    arrival, handle, ["/bin/x", "%{X}"], client, now
                )
            )
        return self.arrive(
            lambda services, arrival, client, now: services.testbus.put_file(
                arrival, handle, name, digest, 3, 0o644, client, now
            )
        )

    def delete(self) -> Input:
        handles = [self.handle(self.random.choice(("test", "test", "claim", "file", "host")))]
        call = self.random.choice(("delete", "delete", "release"))
        return self.arrive(
            lambda services, arrival, client, now: getattr(services.testbus, call)(arrival, handles, client, now)
        )

    def run(self) -> Input:
        if self.random.random() < 0.3:
            process, timeout = self.handle("process"), self.timeout()
            return self.arrive(
                lambda services, arrival, client, now: services.testbus.wait(arrival, process, client, now, timeout)
            )
        command, claim = self.handle("command"), self.handle("claim")
        parallel, background = self.random.random() < 0.5, self.random.random() < 0.5
        options = RunOptions(parallel=parallel, background=background, stdin=self.random.choice(("", "X")))
        return self.arrive(
            lambda services, arrival, client, now: services.testbus.run(
                arrival, command, claim, options, {"V": "1"}, client, now
            )
        )

    def report(self) -> Input:
        """Return a report of a host about its processes and files."""
        host, process, digest = (
            self.random.choice((*HOSTS, "hub")),
            self.handle("process"),
            self.random.choice("ab") * 64,
        )
        kind, state = self.random.randrange(6), self.random.choice(("exited", "exited", "crashed", "could not start"))
        if kind == 0:
            running = [self.handle("process") for _ in range(self.random.randrange(3))]
            return lambda services, now: services.testbus.processes.reported(host, running, [digest], now)
        if kind == 1:
            return lambda services, now: services.testbus.processes.file_failed(host, digest, "full", now)
        if kind < 4:
            return lambda services, now: services.testbus.processes.file_arrived(host, digest, now)
        ended = Ended(process=process, state=state, status=0)
        return lambda services, now: [
            event for name in (*HOSTS, "hub") for event in services.testbus.processes.ended(name, ended, now)
        ]


def perform(call: Input, services: SyncServices, now: float) -> Any:
    """Perform an input, and return its outcome or its error."""
    try:
        return call(services, now)
    except LinesyncError as error:
        return error


def seen(events: Any) -> Any:
    """Return events in a form that can be compared."""
    if isinstance(events, list):
        return [seen(event) for event in events]
    if isinstance(events, LinesyncError):
        return type(events).__name__, events.message, json.dumps(events.details)
    if isinstance(events, Failed):
        return events.arrival, events.client, seen(events.error)
    return events


def begin_search_again(services: SyncServices, now: float) -> None:
    """Forget the cycles that were found, as at the start of a hub."""
    waits = services._waits
    services._deadlocks = Deadlocks(waits, services._hosts)
    owned = any(wait.granted is None and wait.place.owned() for wait in waits.all())
    waits.owned_opened_at = now if owned else None
