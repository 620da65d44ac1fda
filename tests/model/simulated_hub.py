"""The services of a hub with a simulated clock and simulated hosts, and short methods for the requests of clients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

from linesync.errors import LinesyncError
from linesync.model.decisions import Event
from linesync.model.hosts.members import unfold
from linesync.model.participants import Cause, Client
from linesync.model.sync.barriers.terms import Reuse, Terms
from linesync.model.sync.deadlock import Activity
from linesync.model.sync.services import SyncServices

from .helpers import failed


@lru_cache(maxsize=8)
def members_of(text: str) -> frozenset[str]:
    return frozenset(unfold(text))


class SimulatedHub:
    """The services, and a state of each host. Every method returns the events that it causes.

    A client is written as ``host`` or ``host/number``.

    :ivar speaking: the hosts that send frames whenever time passes.
    :ivar answering: the hosts that answer the hub's questions immediately.
    :ivar asked: the questions of the hub: (time, host).
    """

    def __init__(self, *hosts: str, now: float = 100.0) -> None:
        self.services = SyncServices()
        self.now = now
        self.speaking = set(hosts)
        self.answering = {*hosts, "hub"}
        self.asked: list[tuple[float, str]] = []
        self.clients: dict[str, set[str]] = defaultdict(set)
        self.concurrent: dict[str, set[str]] = defaultdict(set)
        self.commands: dict[str, int] = defaultdict(int)
        self.lives: dict[str, int] = dict.fromkeys(hosts, 1)
        for host in hosts:
            self.services.register(host, f"{host}1", f"{host}1", f"line of {host}", self.now)

    def client(self, who: str) -> Client:
        host, _, number = who.partition("/")
        self.clients[host].add(number or "1")
        return Client(host, number or "1")

    # -- requests of clients ---------------------------------------------------------------------------------------------

    def barrier(
        self,
        arrival: str,
        who: str,
        party: int | str,
        *,
        name: str = "boot",
        timeout: float | None = None,
        as_member: str | None = None,
        reuse: str = "",
        tolerate: bool = False,
        rejoin: bool = False,
        abort: str = "",
        all_parties: bool = False,
        within: str = "",
        ns: str = "default",
    ) -> list[Event]:
        """Arrive at a barrier. ``party`` is a count or a folded list of members."""
        members = members_of(party) if isinstance(party, str) else None
        count = party if isinstance(party, int) else len(members or ())
        return self.follow_up(
            self.services.barriers.arrive(
                arrival,
                ns,
                name,
                Terms(count=count, members=members, reuse=Reuse.read(reuse), tolerate=tolerate, rejoin=rejoin),
                self.client(who),
                self.now,
                timeout,
                as_member,
                abort=abort,
                all_parties=all_parties,
                within=within,
            )
        )

    def sem(
        self,
        arrival: str,
        who: str,
        delta: int,
        *,
        name: str = "slots",
        timeout: float | None = None,
        hold: bool = False,
        bound: int = 0,
        within: str = "",
        confirm: bool = True,
    ) -> list[Event]:
        """Change a semaphore. Taken units are confirmed immediately, as a correct client does."""
        client = self.client(who)
        events: list[Event] = [
            *self.services.semaphores.change(
                arrival, "default", name, delta, client, self.now, timeout, hold=hold, bound=bound, within=within
            )
        ]
        return self.follow_up(events, confirm=confirm)

    def lock(
        self,
        arrival: str,
        who: str,
        name: str = "flash",
        *,
        timeout: float | None = None,
        keep: bool = False,
        within: str = "",
        confirm: bool = True,
    ) -> list[Event]:
        events = self.services.locks.take(
            arrival, "default", name, self.client(who), self.now, timeout, keep=keep, within=within
        )
        return self.follow_up(events, confirm=confirm)

    def give_back(self, arrival: str, who: str) -> list[Event]:
        """End a wait, or give back a hold."""
        return self.follow_up(self.services.withdraw(arrival, self.client(who), self.now))

    def end(self, who: str, cause: Cause = Cause.CLIENT_GONE, why: str = "") -> list[Event]:
        """End a client."""
        client = self.client(who)
        self.clients[client.host].discard(client.number)
        return self.follow_up(self.services.client_gone(client, self.now, cause, why))

    # -- events of hosts -----------------------------------------------------------------------------------------------

    def session(self, host: str) -> str:
        return f"{host}{self.lives[host]}"

    def hear(self, *hosts: str) -> list[Event]:
        events: list[Event] = []
        for host in hosts:
            events += self.services.heard(host, self.session(host), self.now)
        return self.follow_up(events)

    def lose(self, host: str) -> list[Event]:
        """Let a host be silent until its lease ends; the others send frames in the meantime."""
        self.speaking.discard(host)
        self.answering.discard(host)
        self.clients[host].clear()
        self.pass_time(19.5)
        return self.pass_time(1.0)

    def stop(self, host: str) -> list[Event]:
        self.clients[host].clear()
        return self.follow_up(
            self.services.ended(host, self.session(host), Cause.STOPPED, "its agent was stopped", self.now)
        )

    def restart(self, host: str) -> list[Event]:
        """Restart the agent of a host on the same line."""
        self.clients[host].clear()
        self.lives[host] = self.lives.get(host, 0) + 1
        self.speaking.add(host)
        self.answering.add(host)
        session = self.session(host)
        return self.follow_up(self.services.register(host, session, session, f"line of {host}", self.now))

    def activity(self, host: str) -> Activity:
        return Activity(self.commands[host], frozenset(self.clients[host]), frozenset(self.concurrent[host]))

    def answer(self, host: str) -> list[Event]:
        """Let a host answer the question of the hub."""
        events = self.services.heard(host, self.session(host), self.now) if host != "hub" else []
        return self.follow_up([*events, *self.services.answered(host, self.activity(host), self.now)])

    # -- time --------------------------------------------------------------------------------------------------------

    def follow_up(self, events: Sequence[Event], *, confirm: bool = True) -> list[Event]:
        """Confirm the grants in these events, and send the questions of the services to the hosts."""
        events = list(events)
        if confirm:
            for event in events:
                if getattr(event, "provisional", False):
                    self.services.confirm(event.arrival, event.client)  # type: ignore[union-attr]
        for host in self.services.take_asked():
            self.asked.append((self.now, host))
            if host in self.answering:
                events += self.answer(host)
        return events

    def pass_time(self, seconds: float) -> list[Event]:
        """Let time pass. Timers run when they are due, and each speaking host sends a frame every half second."""
        until = self.now + seconds
        events: list[Event] = []
        while True:
            timer = self.services.next_timer()
            self.now = max(self.now, min(until, self.now + 0.5, until if timer is None else timer))
            events += self.hear(*sorted(self.speaking))
            events += self.follow_up(self.services.handle_timer(self.now))
            timer = self.services.next_timer()
            assert timer is None or timer > self.now, "a timer that was handled must not be due again"
            if self.now >= until:
                return events


def error(events: list[Event], arrival: str) -> LinesyncError:
    """Return the error of an arrival."""
    return failed(events)[arrival]
