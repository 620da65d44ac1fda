"""Random tests of services on three hosts: hosts, scripts and the hub die and restart, steps fail, and rounds are repeated.

Each seed is one random run, called a life. The test checks only the log of the steps of each member.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import NamedTuple

import pytest

from linesync.client.aio import Client
from linesync.client.phases.runner import Phases
from linesync.client.phases.service import AGAIN, Round, Service
from linesync.errors import LinesyncError, LinesyncFailed
from linesync.testing.faults import Faults
from tests.effort import lives
from tests.system.world import World

HOSTS = ("a", "b", "c")
SERVICES = {"net": HOSTS, "disk": ("a", "b"), "web": ("b", "c")}
NEEDS = {"web": {"disk": "healthy"}}
ROUND = ("init", "process", "activate", "abort")
_STABLE = 90.0  # seconds within which all members complete after the last failure


class Ran(NamedTuple):
    """One call of a step: its member, its view, the times of its start and end, and its result."""

    member: int
    host: str
    kind: str
    service: str
    ring: str
    members: tuple[str, ...]
    began: float
    ended: float
    how: str


class Life:
    """One life. Each member has a number, which its calls in the log have, too."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        faults = Faults(ber=self.random.choice((0.0, 1e-5)))
        self.world = World(seed, faults=faults, durable=self.random.random() < 0.7)
        self.log: list[Ran] = []
        self.dead: set[int] = set()
        self.calm = False
        self.members: dict[str, tuple[int, Client, asyncio.Task[None]]] = {}
        self.count = 0

    def step(self, member: int, host: str, kind: str, service: str) -> object:
        async def run(round_: Round) -> object:
            began, how = self.world.now, "cut"
            luck = 1.0 if self.calm else self.random.random()
            try:
                await asyncio.sleep(self.random.choice((0.0, 0.05, 0.3, 1.0)))
                how = "failed" if luck < 0.03 and kind == "process" else "again" if luck < 0.1 else "done"
                if how == "failed":
                    raise LinesyncFailed("broken")
                return AGAIN if how == "again" and kind == "process" else None
            finally:
                if member not in self.dead:
                    ran = Ran(member, host, kind, service, round_.ring, round_.members, began, self.world.now, how)
                    self.log.append(ran)

        return run

    def start(self, host: str) -> None:
        """Start a member on a host."""
        self.count += 1
        client = self.world.client(host)
        phases = Phases(client, "g", quorum=2, backoff=0.5, retries=1000)
        for name, hosts in SERVICES.items():
            kinds = (*ROUND, "stop", "check") if name == "disk" else (*ROUND, "stop")
            steps = {kind: self.step(self.count, host, kind, name) for kind in kinds}
            order = list(SERVICES)
            after = order[: order.index(name)]
            phases.register(Service(name, after=after, hosts=hosts, needs=NEEDS.get(name, {}), interval=0.5, **steps))  # type: ignore[arg-type]
        self.members[host] = self.count, client, self.world.start(phases.run())

    def end(self, host: str, *, kill: bool) -> None:
        """Kill the member of a host, or make it leave."""
        number, client, task = self.members.pop(host)
        if kill:
            self.dead.add(number)
            self.world.kill(client)
        task.cancel()
        self.world.settle(task.done, 200.0, f"the member of {host} should end")

    def act(self) -> None:
        """Do one random action."""
        host = self.random.choice(HOSTS)
        action = self.random.choice(("member", "member", "agent", "hub", "rerun", "wait", "wait"))
        if action == "member" and host in self.members:
            self.end(host, kill=self.random.random() < 0.5)
        elif action == "member":
            self.start(host)
        elif action == "agent":
            if host in self.members:
                number, _, task = self.members.pop(host)
                self.dead.add(number)
                self.world.kill_agent(host)
                task.cancel()
                self.world.settle(task.done, 200.0)
            else:
                self.world.kill_agent(host)
            self.world.agent(host)
            self.world.deliver()
        elif action == "hub":
            self.world.kill_hub(away=self.random.choice((0.0, 0.5)))
        elif action == "rerun" and host in self.members:
            self.world.start(self.rerun(self.members[host][1]))
        self.world.pass_time(self.random.choice((0.0, 0.1, 0.5, 2.0)))

    @staticmethod
    async def rerun(client: Client) -> None:
        try:
            await client.rerun_group("g", timeout=5)
        except LinesyncError:
            pass  # the group does not exist now, or is short

    def live(self) -> None:
        with self.world as world:
            for host in HOSTS:
                world.agent(host)
            world.deliver()
            for _ in range(self.random.randint(3, 14)):
                self.act()
            self.calm = True
            limit = world.now + _STABLE
            while not self.completed():
                assert world.now < limit, f"all members should complete\n{world.transcript()}"
                for host in HOSTS:
                    if host in self.members and self.members[host][2].done():  # the hub died while it joined
                        del self.members[host]
                    if host not in self.members:
                        self.start(host)
                world.pass_time(1.0)
            for host in HOSTS:
                self.end(host, kill=False)
        self.judge()

    def completed(self) -> bool:
        groups = self.world.hub._requests._services.status(self.world.now).groups
        found = next((group for group in groups if group.name == "g"), None)
        return found is not None and len(found.members) == 3 and found.round.state == "completed"

    # -- checks -----------------------------------------------------------------------------------------------------

    def judge(self) -> None:
        by_member = defaultdict(list)
        for ran in sorted(self.log, key=lambda ran: ran.began):
            by_member[ran.member].append(ran)
        for steps in by_member.values():
            self.judge_member([ran for ran in steps if ran.kind != "check"])
        self.judge_order()

    @staticmethod
    def judge_member(steps: list[Ran]) -> None:
        """Steps do not overlap. Each service that has begun is activated or aborted once, before it begins again."""
        begun: dict[str, str] = {}
        for last, ran in zip([None, *steps], steps, strict=False):
            assert last is None or last.ended <= ran.began, (last, ran)
            if ran.kind == "init":
                assert ran.service not in begun, ran
                begun[ran.service] = "init"
            elif ran.kind == "process":
                assert begun[ran.service] in ("init", "again"), ran
                begun[ran.service] = ran.how
            elif ran.kind == "activate":
                assert begun.pop(ran.service) == "done", ran
            elif ran.kind == "abort":
                assert begun.pop(ran.service, ""), ran

    def judge_order(self) -> None:
        """In one view, no member begins a service before all members of the view have finished the service before it."""
        rounds = defaultdict(list)
        for ran in self.log:
            if ran.kind == "process":
                rounds[ran.ring].append(ran)
        order = list(SERVICES)
        for steps in rounds.values():
            for ran in steps:
                for earlier in order[: order.index(ran.service)]:
                    owners = {host for host in SERVICES[earlier] if host in ran.members}
                    done = {
                        other.host
                        for other in steps
                        if (other.service, other.how) == (earlier, "done") and other.ended <= ran.began
                    }
                    killed = {other.host for other in self.log if other.member in self.dead}
                    assert owners <= done | killed, (ran, earlier)


@pytest.mark.parametrize("seed", range(lives(60, 3000)))
def test_services_start_in_order_and_each_is_activated_or_aborted(seed: int) -> None:
    Life(seed).live()
