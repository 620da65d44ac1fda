"""A small, slow model of a test bus, which shares no code with the real one: it tries all choices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

__all__ = ["Ask", "Machine", "Reference", "Thing"]


@dataclass
class Thing:
    kind: str
    name: str
    parent: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    host: str = ""
    share: bool = False
    digest: str = ""
    owner: tuple[str, str] = ("", "")
    """For a test without a parent: ``client`` or ``process`` or ``host``, and which one."""
    claim: str = ""
    state: str = ""
    parallel: bool = False
    client: str = ""
    """For a process: its claim, its state, and the client with which it ends (empty for none)."""
    started: bool = False


@dataclass
class Machine:
    capabilities: frozenset[str] = frozenset()
    published: dict[str, str] = field(default_factory=dict)
    up: bool = True
    alive: set[str] = field(default_factory=set)
    """The processes that run in reality."""
    unsure: bool = False


@dataclass
class Ask:
    """A request: each want is a role, a host or an empty text, capabilities, and whether it shares the host."""

    test: str
    client: str
    wants: list[tuple[str, str, frozenset[str], bool]]


class Reference:
    def __init__(self) -> None:
        self.things = {"host1": Thing("host", "hub")}
        self.machines = {"hub": Machine()}
        self.queue: dict[str, Ask] = {}
        self.ending: dict[str, tuple[str, bool]] = {}
        """The deleted processes that have not ended: host, and whether their claim was shared."""

    # -- trees ---------------------------------------------------------------------------------------------------------

    def root(self, handle: str) -> str:
        parent = self.things[handle].parent
        return self.root(parent) if parent else handle

    def below(self, handle: str) -> set[str]:
        inner = [one for one, thing in self.things.items() if handle in (thing.parent, thing.claim)]
        return {handle}.union(*map(self.below, inner))

    def delete(self, handle: str) -> set[str]:
        """Delete a thing and all below it. Return the requests of deleted tests, which end."""
        gone = self.below(handle)
        for one in gone:
            thing = self.things[one]
            if thing.state == "running":
                self.ending[one] = (thing.host, self.things[thing.claim].share)
        hosts = {self.things[one].host for one in gone if self.things[one].state}
        self.things = {one: thing for one, thing in self.things.items() if one not in gone}
        ended = {arrival for arrival, ask in self.queue.items() if ask.test in gone}
        self.queue = {arrival: ask for arrival, ask in self.queue.items() if arrival not in ended}
        for host in hosts:
            self.schedule(host)
        return ended

    def owned(self, kind: str, who: str) -> list[str]:
        return [handle for handle, thing in self.things.items() if thing.owner == (kind, who)]

    # -- what an object sees -------------------------------------------------------------------------------------------

    def layers(self, handle: str) -> Iterator[dict[str, str]]:
        """The variables of an object and of the objects above it, the nearest first."""
        thing = self.things[handle]
        yield thing.variables
        if thing.kind == "host":
            yield self.machines[thing.name].published
        if thing.kind == "claim":
            (host,) = [one for one, other in self.things.items() if (other.kind, other.name) == ("host", thing.host)]
            yield from self.layers(host)
        if thing.kind == "test":
            claims = [one for one in self.things.values() if one.kind == "claim" and one.parent == handle]
            for claim in claims:
                published = self.machines[claim.host].published
                yield {f"host_{claim.name}_{key}": value for key, value in published.items()}
        if thing.parent:
            yield from self.layers(thing.parent)
        if thing.claim:
            yield from self.layers(thing.claim)

    def seen(self, handle: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for layer in reversed(list(self.layers(handle))):
            found.update(layer)
        return found

    def files(self, handle: str) -> dict[str, str]:
        thing = self.things[handle]
        found = self.files(thing.parent) if thing.parent else {}
        found = {**(self.files(thing.claim) if thing.claim else {}), **found}
        levels = [handle]
        if thing.kind == "claim":
            levels.insert(0, next(h for h, o in self.things.items() if (o.kind, o.name) == ("host", thing.host)))
        for level in levels:
            own = [one for one in self.things.values() if one.kind == "file" and one.parent == level]
            found.update({one.name: one.digest for one in own})
        return found

    # -- processes -----------------------------------------------------------------------------------------------------

    def processes(self, host: str) -> list[Thing]:
        return [one for one in self.things.values() if one.kind == "process" and one.host == host]

    def schedule(self, host: str) -> None:
        """Start the processes that need not wait for others."""
        if not self.machines[host].up:
            return
        for handle, thing in self.things.items():
            if thing.kind == "process" and thing.host == host and thing.state == "waiting":
                busy = any(one.state == "running" and not one.parallel for one in self.processes(host))
                if thing.parallel or not busy:
                    thing.state, thing.started = "running", True
                    self.machines[host].alive.add(handle)

    def process_ended(self, handle: str, host: str) -> None:
        self.machines[host].alive.discard(handle)
        self.ending.pop(handle, None)
        thing = self.things.get(handle)
        if thing is not None and thing.state in ("running", "host lost") and thing.started:
            thing.state = "exited"
        self.schedule(host)

    def host_lost(self, host: str) -> set[str]:
        """Return the deleted processes whose end is not known."""
        machine = self.machines[host]
        machine.up = False
        lost = {handle for handle, (where, _) in self.ending.items() if where == host}
        machine.unsure |= bool(lost) or any(one.state == "running" for one in self.processes(host))
        self.ending = {handle: ending for handle, ending in self.ending.items() if handle not in lost}
        for one in self.processes(host):
            if one.state in ("waiting", "running"):
                one.state = "host lost"
        return lost

    def reported(self, host: str) -> None:
        """A host reports the processes that run in reality."""
        machine = self.machines[host]
        machine.unsure = False
        for handle in machine.alive:
            thing = self.things.get(handle)
            if thing is None:
                self.ending.setdefault(handle, (host, False))
            elif thing.state == "host lost":
                thing.state = "running"
        self.schedule(host)

    # -- claims --------------------------------------------------------------------------------------------------------

    def fits(self, want: tuple[str, str, frozenset[str], bool], name: str) -> bool:
        machine = self.machines[name]
        _, host, capabilities, _ = want
        return machine.up and capabilities <= machine.capabilities and (host == name or (not host and name != "hub"))

    def users(self, host: str) -> list[str]:
        return [handle for handle, one in self.things.items() if one.kind == "claim" and one.host == host]

    def choices(self, ask: Ask) -> Iterator[tuple[str, ...]]:
        """All ways to give a request different hosts that fit, in use or not."""
        for hosts in product(*[[name for name in self.machines if self.fits(want, name)] for want in ask.wants]):
            if len(set(hosts)) == len(hosts):
                yield hosts

    def uses_of(self, root: str) -> set[str]:
        return {one.host for handle, one in self.things.items() if one.kind == "claim" and self.root(handle) == root}

    def reserves(self, earlier: Ask, ask: Ask, host: str, *, share: bool) -> bool:
        """Whether an earlier request keeps a host from a later one."""
        needed = any(self.fits(want, host) and not (want[3] and share) for want in earlier.wants)
        own = self.uses_of(self.root(ask.test))
        return needed and any(not own & set(choice) for choice in self.choices(earlier))

    def grantable(self, arrival: str) -> bool:
        return any(self.allowed(arrival, hosts) for hosts in self.choices(self.queue[arrival]))

    def allowed(self, arrival: str, hosts: tuple[str, ...], can_act: set[str] = frozenset()) -> bool:  # type: ignore[assignment]
        """Whether a request may get these hosts.

        :param can_act: the tests (without parent) whose hosts count as free, and the clients whose requests reserve nothing.
        """
        ask = self.queue[arrival]
        ahead = list(self.queue)[: list(self.queue).index(arrival)]
        for want, host in zip(ask.wants, hosts, strict=True):
            if not self.fits(want, host):
                return False
            busy = self.machines[host].unsure or any(
                where == host and not (share and want[3]) for where, share in self.ending.values()
            )
            if busy and not can_act:
                return False
            for claim in self.users(host):
                if not (want[3] and self.things[claim].share) and self.root(claim) not in can_act:
                    return False
            for earlier in ahead:
                waits = self.queue[earlier].client not in can_act
                if waits and self.reserves(self.queue[earlier], ask, host, share=want[3]):
                    return False
        return len(set(hosts)) == len(hosts)

    def stuck(self) -> set[str]:
        """The requests that wait in a cycle: they still wait after every owner that can act has released all of its
        hosts."""
        waiting = set(self.queue)
        while True:
            stuck_clients = {self.queue[arrival].client for arrival in waiting}
            acting = {"a host"} | {ask.client for ask in self.queue.values()} - stuck_clients
            for handle, thing in self.things.items():
                if thing.kind == "test" and not thing.parent:
                    kind, who = thing.owner
                    own = [a.client for a in self.queue.values() if self.root(a.test) == handle]
                    if who not in stuck_clients if kind == "client" else not own or set(own) - stuck_clients:
                        acting.add(handle)
            free = {
                arrival
                for arrival in waiting
                if not any(True for _ in self.choices(self.queue[arrival]))
                or any(self.allowed(arrival, hosts, acting) for hosts in self.choices(self.queue[arrival]))
            }
            if not free:
                return waiting
            clients = {self.queue[arrival].client for arrival in free}
            waiting = {arrival for arrival in waiting if self.queue[arrival].client not in clients}
