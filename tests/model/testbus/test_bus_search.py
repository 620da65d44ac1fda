"""The test bus against a reference that shares no code with it: claims, deaths, deletions, environments and files.

After each step, both have the same objects, users of hosts, variables and files. Each request that was granted could be
granted, in the order of the requests, and no request waits that could be granted. Clients do one operation at a time. At the
end of a life, every owner that can act ends its tests. Then no request waits, unless it needs a host that is down.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from linesync.errors import DeadlockError, LinesyncError
from linesync.model.decisions import Failed, Granted
from linesync.model.participants import Cause

from ..helpers import profile
from .lab import Lab, wants
from .reference import Ask, Machine, Reference, Thing

HOSTS = ("h1", "h2", "h3")
CAPABILITIES = {"h1": "a", "h2": "a b", "h3": ""}
SCRIPTS = st.sampled_from(["hub/1", "hub/2", "hub/3", "hub/4", "h1/1", "h2/1"])
OWNERS = st.sampled_from(["client", "client", "client", "process", "host"])
WANTS = st.lists(
    st.sampled_from(["=h1", "=h2", "=h3", "=hub", ":a", ":b", ":a,b", ""]),
    min_size=1,
    max_size=3,
)
DRAW = st.randoms(use_true_random=False)
TIMEOUTS = st.sampled_from([None, None, None, None, 0, 3.0])


class BusSearch(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.lab = Lab()
        self.reference = Reference()
        self.deadlocks = 0
        self.deletions: dict[str, set[str]] = {}
        """The deletions that wait, each with the processes that it waits for."""
        for host in HOSTS:
            self.up(host)
        for who in ("hub/1", "hub/2", "hub/3"):
            test = self.lab.test("nfs", who=who)
            self.reference.things[test] = Thing("test", "nfs", owner=("client", who))
            if who != "hub/3":
                self.ask(Random(1), test, who, [f"=h{who[-1]}"], int(who[-1]) - 1, None)

    # -- helpers -------------------------------------------------------------------------------------------------------

    def up(self, host: str) -> None:
        machine = self.reference.machines.setdefault(host, Machine())
        machine.capabilities, machine.published = frozenset(CAPABILITIES[host].split()), {"ip": f"10.{host[1]}"}
        machine.up = True
        self.perform(lambda: self.lab.up(host, machine.capabilities, machine.published))
        if all(one.name != host for one in self.reference.things.values() if one.kind == "host"):
            self.reference.things[self.lab.bus.handle_of("host", host)] = Thing("host", host)

    def idle(self, who: str) -> bool:
        """Whether a client exists and does not wait."""
        host = who.partition("/")[0]
        return self.reference.machines[host].up and all(ask.client != who for ask in self.reference.queue.values())

    def pick(self, draw: DRAW, *kinds: str) -> str:
        found = [handle for handle, one in self.reference.things.items() if one.kind in kinds]
        return draw.choice(found) if found else ""

    def perform(self, call: object, ended: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        """Perform an input. The waits ``ended`` must fail; check all grants."""
        for waits in self.deletions.values():
            waits &= self.reference.ending.keys()
        taken: list[object] = []
        take = self.lab.take
        self.lab.take = lambda outcomes: (taken.extend(outcomes), take(outcomes))[1]  # type: ignore[method-assign,assignment]
        try:
            call()  # type: ignore[operator]
        finally:
            self.lab.take = take  # type: ignore[method-assign]
        failed = {one.arrival: one.error for one in taken if isinstance(one, Failed)}
        assert ended <= failed.keys()
        for arrival, error in failed.items():
            if arrival in self.reference.queue:
                if isinstance(error, DeadlockError):
                    assert arrival in self.reference.stuck() or self.deadlocks
                    self.deadlocks += 1
                del self.reference.queue[arrival]
        for one in taken:
            if isinstance(one, Granted) and one.arrival in self.reference.queue:
                self.granted(one)
        self.deadlocks = 0

    def granted(self, outcome: Granted) -> None:
        value = outcome.value
        ask = self.reference.queue[outcome.arrival]
        assert self.reference.allowed(outcome.arrival, value.hosts)  # type: ignore[union-attr]
        del self.reference.queue[outcome.arrival]
        for want, host, handle in zip(ask.wants, value.hosts, value.handles, strict=True):  # type: ignore[union-attr]
            self.reference.things[handle] = Thing("claim", want[0], ask.test, host=host, share=want[3])

    def gone(self, owners: list[tuple[str, str]], clients: list[str], call: object) -> None:
        """Handle the end of owners and clients."""
        ended = {arrival for arrival, ask in self.reference.queue.items() if ask.client in clients}
        for arrival in ended:
            del self.reference.queue[arrival]
        for handle in [one for one, thing in self.reference.things.items() if thing.client in clients and thing.client]:
            if self.reference.things[handle].state in ("waiting", "running"):
                self.reference.delete(handle)
        for kind, who in owners:
            for test in self.reference.owned(kind, who):
                ended |= self.reference.delete(test)
        self.perform(call, ended)

    # -- rules ---------------------------------------------------------------------------------------------------------

    @rule(draw=DRAW, who=SCRIPTS, owner=OWNERS, nested=st.booleans())
    def create(self, draw: DRAW, who: str, owner: str, nested: bool) -> None:
        if not self.idle(who):
            return
        within = self.pick(draw, "test") if nested else ""
        host = who.partition("/")[0]
        options = {"client": {}, "process": {"owner": self.lab.shell(int(who[-1]), host)}, "host": {"keep": True}}[
            owner
        ]
        handle = self.lab.test("nfs", who=who, within=within, **options)
        owned = ("", "") if within else (owner, host if owner == "host" else who)
        self.reference.things[handle] = Thing("test", "nfs", within, owner=owned)

    @precondition(lambda self: any(one.kind == "test" for one in self.reference.things.values()))
    @rule(draw=DRAW, who=SCRIPTS, asked=WANTS, shared=st.sampled_from([0, 0, 0, 1, 7]), timeout=TIMEOUTS)
    def claim(self, draw: DRAW, who: str, asked: list[str], shared: int, timeout: float | None) -> None:
        if self.idle(who):
            self.ask(draw, self.pick(draw, "test"), who, asked, shared, timeout)

    def ask(self, draw: DRAW, test: str, who: str, asked: list[str], shared: int, timeout: float | None) -> None:
        roles = draw.sample("rstuvwxyz", len(asked)) if draw.random() < 0.9 else ["r"] * len(asked)
        texts = [
            f"{'+' * bool(shared >> n & 1)}{role}{text}"
            for n, (role, text) in enumerate(zip(roles, asked, strict=True))
        ]
        made = wants(*texts)
        arrival = f"x{self.lab._arrivals + 1}"
        reference = self.reference
        taken = [one.name for one in reference.things.values() if one.kind == "claim" and one.parent == test]
        taken += [want[0] for ask in reference.queue.values() if ask.test == test for want in ask.wants]
        hosts = [want.host for want in made if want.host]
        own = [
            want.host
            for want in made
            for claim in reference.users(want.host)
            if reference.root(claim) == reference.root(test) and not (want.share and reference.things[claim].share)
        ]
        valid = len({*taken, *roles}) == len(taken) + len(roles) and len(set(hosts)) == len(hosts) and not own
        if valid:
            listed = [(want.role, want.host, frozenset(want.capabilities), want.share) for want in made]
            reference.queue[arrival] = Ask(test, who, listed)
        polled = valid and timeout == 0 and not reference.grantable(arrival)
        if polled:
            del reference.queue[arrival]
        self.perform(lambda: self.lab.ask(test, *texts, who=who, timeout=timeout))
        if not valid or polled:
            assert isinstance(self.lab.outcomes[arrival], Failed)

    @rule(draw=DRAW, who=SCRIPTS, one=WANTS, other=WANTS)
    def claim_own(self, draw: DRAW, who: str, one: list[str], other: list[str]) -> None:
        """A client asks for hosts for one of its tests, and then for more."""
        for asked in (one, other):
            tests = self.reference.owned("client", who)
            if tests and self.idle(who):
                self.ask(draw, draw.choice(tests), who, asked, 0, None)

    @rule(draw=DRAW, who=SCRIPTS)
    def delete(self, draw: DRAW, who: str) -> None:
        handle = self.pick(draw, "test", "claim", "claim", "file", "command", "process")
        if handle and self.idle(who):
            self.remove(handle)

    def remove(self, handle: str) -> None:
        """Delete an object. The answer waits for its processes."""
        before = set(self.reference.ending)
        ended = self.reference.delete(handle)
        arrival = f"x{self.lab._arrivals + 1}"
        waits = set(self.reference.ending) - before
        if waits:
            self.deletions[arrival] = waits
        self.perform(lambda: self.lab.arrive(self.lab.bus.delete, [handle], who="hub/9"), ended)
        assert waits or self.lab.value(arrival).handles == ()

    @rule(draw=DRAW, who=SCRIPTS)
    def client_dies(self, draw: DRAW, who: str) -> None:
        busy = sorted({one.client for one in self.reference.things.values() if one.client and one.state == "running"})
        if busy and draw.random() < 0.7:
            who = draw.choice(busy)
        if self.reference.machines[who.partition("/")[0]].up:
            client = self.lab.client(who)
            lab = self.lab
            self.gone(
                [("client", who)], [who], lambda: lab.take(lab.services.client_gone(client, lab.now, Cause.CLIENT_GONE))
            )

    @rule(who=SCRIPTS)
    def owner_dies(self, who: str) -> None:
        host, lab = who.partition("/")[0], self.lab
        self.gone([("process", who)], [], lambda: lab.take(lab.services.owner_gone(host, int(who[-1]), "100", lab.now)))

    @rule(host=st.sampled_from(HOSTS))
    def host_changes(self, host: str) -> None:
        machine = self.reference.machines[host]
        if not machine.up:
            self.up(host)
            return
        lost = self.reference.host_lost(host)
        for arrival in [arrival for arrival, waits in self.deletions.items() if waits & lost]:
            del self.deletions[arrival]
        who = f"{host}/1"
        self.gone([("client", who), ("process", who), ("host", host)], [who], lambda: self.lab.down(host))

    @rule(draw=DRAW)
    def host_of_a_deleted_process_is_lost(self, draw: DRAW) -> None:
        """A host is lost while it runs processes, their tests are deleted, and the host comes back."""
        used = [handle for handle, one in self.reference.things.items() if one.state == "running"]
        if not used:
            return
        process = self.reference.things[draw.choice(used)]
        host, claim = process.host, process.claim
        if host in HOSTS:
            self.host_changes(host)
            if claim in self.reference.things:
                self.remove(claim)
            self.host_changes(host)

    @rule(draw=DRAW, name=st.sampled_from(["X", "Y", "ip"]))
    def command(self, draw: DRAW, name: str) -> None:
        self.new_command(self.pick(draw, "test", "claim"), name)

    def new_command(self, parent: str, name: str) -> str:
        if not parent:
            return ""
        handle = self.lab.command(parent, "echo", f"%{{{name}}}")
        self.reference.things[handle] = Thing("command", "echo", parent, digest=name)
        return handle

    @rule(
        draw=DRAW,
        who=SCRIPTS,
        parallel=st.booleans(),
        background=st.booleans(),
        named=st.sampled_from([True, True, False]),
    )
    def run(self, draw: DRAW, who: str, parallel: bool, background: bool, named: bool) -> None:
        reference = self.reference
        command, claim = self.pick(draw, "command"), self.pick(draw, "claim")
        if claim and draw.random() < 0.7:
            command = self.new_command(draw.choice([claim, reference.things[claim].parent]), "X")
        if not (command and claim and self.idle(who)):
            return
        above, at = set(), command
        while at:
            above.add(at)
            at = reference.things[at].parent
        on = reference.things[claim]
        variables = ["X=1", "Y=2"] if named else []
        options = {"parallel": parallel, "background": background}
        if not above & {claim, on.parent} or not reference.machines[on.host].up:
            with pytest.raises(LinesyncError):
                self.lab.run(command, claim, *variables, who=who, **options)
            return
        known = {**reference.seen(claim), **reference.seen(command), **dict(one.split("=") for one in variables)}
        handle = self.lab.run(command, claim, *variables, who=who, **options)
        state = "waiting" if reference.things[command].digest in known else "could not start"
        client = "" if background else who
        reference.things[handle] = Thing(
            "process", "echo", command, host=on.host, claim=claim, state=state, parallel=parallel, client=client
        )
        reference.things[handle].variables = dict(one.split("=") for one in variables)
        reference.schedule(on.host)

    @rule(draw=DRAW)
    def process_ends(self, draw: DRAW) -> None:
        alive = [
            (name, handle) for name, one in self.reference.machines.items() if one.up for handle in sorted(one.alive)
        ]
        if alive:
            self.end_process(*draw.choice(alive))

    def end_process(self, host: str, handle: str) -> None:
        self.reference.process_ended(handle, host)
        self.perform(lambda: self.lab.ended(host, handle))

    @rule(host=st.sampled_from(HOSTS))
    def report(self, host: str) -> None:
        machine = self.reference.machines[host]
        if machine.up:
            self.reference.reported(host)
            self.perform(lambda: self.lab.report(host, *sorted(machine.alive)))

    @rule(draw=DRAW, name=st.sampled_from(["X", "Y", "host_r_ip", "ip"]), value=st.sampled_from(["1", "2", ""]))
    def set_variable(self, draw: DRAW, name: str, value: str) -> None:
        handle = self.pick(draw, "test", "claim", "host", "file")
        thing = self.reference.things[handle]
        if name in thing.variables and draw.random() < 0.5:
            del thing.variables[name]
            assert self.lab.bus.unset_variables(handle, [name]) == 1
        else:
            thing.variables[name] = value
            self.lab.bus.set_variables(handle, {name: value})

    @rule(draw=DRAW, tag=st.sampled_from(["conf", "key"]), digest=st.sampled_from("abc"))
    def put(self, draw: DRAW, tag: str, digest: str) -> None:
        parent = self.pick(draw, "test", "claim", "host")
        handle = self.lab.put(parent, tag, digest)
        if handle in self.reference.things:
            self.reference.things[handle].digest = digest * 64
        else:
            self.reference.things[handle] = Thing("file", tag, parent, digest=digest * 64)

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0, 8.0]))
    def time_passes(self, seconds: float) -> None:
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        steps = int(seconds * 2)
        for _ in range(steps):
            self.perform(lambda: self.lab.pass_time(0.5))

    @rule()
    def restart_hub(self) -> None:
        self.lab.store.take(self.lab.services)
        self.lab.services = self.lab.restored()

    # -- checks --------------------------------------------------------------------------------------------------------

    @invariant()
    def both_are_equal(self) -> None:
        lab, reference = self.lab, self.reference
        objects = {one.handle: one for one in lab.bus.show(lab.now).objects}
        assert {
            handle: (one.kind, one.name, one.parent or "", one.variables, one.host or "", one.state or "")
            for handle, one in objects.items()
        } == {
            handle: (one.kind, one.name, one.parent, one.variables, one.host, one.state)
            for handle, one in reference.things.items()
        }
        for handle in objects:
            assert lab.bus.variables(handle) == reference.seen(handle)
            assert {tag: one.digest for tag, one in lab.bus.files(handle).items()} == reference.files(handle)
        for name in ("X", "host_r_ip", "ip"):
            for handle in objects:
                assert lab.bus.variable(handle, name) == reference.seen(handle).get(name)

    @invariant()
    def deletions_wait_for_processes(self) -> None:
        for arrival, waits in list(self.deletions.items()):
            waits &= self.reference.ending.keys()
            assert self.lab.waits(arrival) == bool(waits)
            if not waits:
                del self.deletions[arrival]

    @invariant()
    def nobody_waits_who_could_be_served(self) -> None:
        reference = self.reference
        waiting = [one.test for one in self.lab.bus.claiming(self.lab.now)]
        assert waiting == [ask.test for ask in reference.queue.values()]
        assert not [arrival for arrival in reference.queue if reference.grantable(arrival)]
        for arrival in reference.queue:
            assert self.lab.waits(arrival)

    def give_up(self, arrival: str, who: str) -> None:
        """Withdraw the request of a client that waits for a host that is down."""
        lab, client = self.lab, self.lab.client(who)
        del self.reference.queue[arrival]
        self.perform(lambda: lab.take(lab.services.withdraw(arrival, client, lab.now)), {arrival})

    def teardown(self) -> None:
        """Check that no request waits forever in a cycle, and that nothing of the tests is left."""
        self.both_are_equal()  # teardown also follows a failure, which must stay visible
        progress = True
        while progress:
            for host, machine in self.reference.machines.items():
                if machine.up:
                    self.report(host)
                while machine.up and machine.alive:
                    self.end_process(host, min(machine.alive))
            self.pass_time(6.0)
            assert not self.reference.stuck()
            progress = False
            for handle, thing in list(self.reference.things.items()):
                if thing.kind == "test" and not thing.parent and handle in self.reference.things:
                    kind, who = thing.owner
                    asking = [ask for ask in self.reference.queue.values() if self.reference.root(ask.test) == handle]
                    if self.idle(who) if kind == "client" else not asking:
                        self.remove(handle)
                        progress = True
            for arrival, ask in list(self.reference.queue.items()):
                if arrival in self.reference.queue and not list(self.reference.choices(ask)):
                    self.give_up(arrival, ask.client)
                    progress = True
        assert not self.reference.queue
        self.lab.check()


BusSearch.TestCase.settings = profile()
TestBusSearch = pytest.mark.long(BusSearch.TestCase)
