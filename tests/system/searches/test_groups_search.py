"""Random lives of a group on lossy lines: joins, deaths, restarts, cut lines, killed hubs. The members' logs are judged."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from linesync.client.aio import Client
from linesync.client.groups.group import Announced, Group, Message, Step, View
from linesync.errors import Aborted, LinesyncError
from linesync.testing.faults import Faults
from tests.effort import lives
from tests.model.groups.searches.judge import MemberLog, check_all, check_stable
from tests.system.world import World

HOSTS = ("a", "b", "c")
PARTS = 4  # parts of the search, so that several processes can share it


class Script:
    """A script that is a member of the group. It runs steps in a task of its own, while it waits for the next event."""

    def __init__(self, life: Life, host: str, client: Client, ids: list[int], tag: str) -> None:
        self.life = life
        self.host = host
        self.client = client
        self.log = MemberLog(f"{host}#{tag}" if tag else host, ids)
        self.group: Group | None = None
        self._step: asyncio.Task[None] | None = None
        self._activates = False
        self.task = life.world.start(self._run(ids, tag))

    def note(self, what: str, *more: Any) -> None:
        if not self.log.over:
            self.log.add(self.life.tick(), what, *more)

    async def _run(self, ids: list[int], tag: str) -> None:
        announced = [Announced(one, f"s{one}", serialize=one == 2) for one in ids]
        try:
            self.group = await self.client.group("net", tag=tag, services=announced, **self.life.terms)
            async for event in self.group.events():
                self._handle(event)
        except LinesyncError:
            pass  # it was removed, or lost the hub
        if self._step is not None:
            self._step.cancel()
        self.log.over = True

    def _handle(self, event: View | Message | Step) -> None:
        if isinstance(event, View):
            self.note("view", event)
        elif isinstance(event, Message):
            self.note("message", event)
        else:
            self.note("step", event)
            if event.kind == "abort" and self._step is not None and not self._activates:
                self._step.cancel()
            elif event.kind in ("init", "process", "activate"):
                self._activates = event.kind == "activate"
                self._step = asyncio.ensure_future(self._work(event))

    async def _work(self, step: Step) -> None:
        random = self.life.random
        await asyncio.sleep(random.choice([0, 0, 0.01, 0.3, 2.0]))
        assert self.group is not None
        if step.kind == "process" and random.random() < 0.1:
            self.note("done", step.but(kind="no"))
            await self.group.done(step, "again")
        elif random.random() < self.life.failures:
            self.note("done", step.but(kind="no"))
            await self.group.done(step, "failed", "no disk")
        else:
            self.note("done", step)
            await self.group.done(step)

    async def cast(self, data: bytes) -> None:
        group = self.group
        if group is None or group.view is None or self.log.over:
            return
        self.note("cast", group.view.ring, data)
        try:
            await group.cast(data)
            self.note("posted", data)
        except Aborted as error:
            if error.details.get("cause") == "view ended":
                self.note("refused", data)
        except LinesyncError:
            pass  # the group is short, or the hub was lost


class Life:
    """One life."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        faults = random.choice([None, Faults(ber=1e-4), Faults(drop=1e-3, dup=1e-3), Faults(burst=3e-4)])
        self.world = World(seed=seed, faults=faults, lease=5.0, durable=True)
        self.terms: dict[str, Any] = {
            "init": random.choice(["first", "first", "in-turn"]),
            "activate": random.choice(["after", "after", "before"]),
            "on_failure": random.choice(["retry", "retry", "exclude"]),
            "backoff": 0.5,
            "retries": 100,
        }
        self.failures = 0.03
        self.scripts: list[Script] = []
        self.clock = 0
        self.sent = 0

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    @property
    def alive(self) -> list[Script]:
        return [script for script in self.scripts if not script.log.over]

    def run(self) -> None:
        with self.world as world:
            for host in HOSTS:
                world.agent(host)
            for _ in range(2):
                self.join()
            for _ in range(self.random.randrange(5, 25)):
                step = self.random.choice(
                    [self.join, self.join, self.cast, self.cast, self.kill, self.leave, self.agent, self.line, self.hub]
                )
                step()
                world.pass_time(self.random.choice([0.0, 0.02, 0.1, 0.5, 1.5, 4.0]))
            check_all([script.log for script in self.scripts], init=self.terms["init"])
            self.settle()
            logs = [script.log for script in self.scripts if script.group is not None]
            check_all(logs, init=self.terms["init"])
            check_stable(logs)

    def join(self) -> None:
        hosts = ["hub", *(name for name in HOSTS if self.world.hosts[name].agent is not None)]
        host, tag = self.random.choice(hosts), self.random.choice(["", "x"])
        if any(script.host == host and script.log.member.endswith(f"#{tag}" if tag else host) for script in self.alive):
            return
        ids = [one for one in (1, 2, 3) if self.random.random() < 0.6]
        self.scripts.append(Script(self, host, self.world.client(host), ids, tag))

    def cast(self) -> None:
        if self.alive:
            self.sent += 1
            size = self.random.choice([1, 1, 1, 30_000])
            data = f"{self.sent}.".encode() + b"x" * size
            self.world.start(self.random.choice(self.alive).cast(data))

    def kill(self) -> None:
        if self.alive:
            script = self.random.choice(self.alive)
            script.log.over = True
            self.world.kill(script.client)

    def leave(self) -> None:
        scripts = [script for script in self.alive if script.group is not None]
        if scripts:
            self.world.start(self._leave(self.random.choice(scripts)))

    @staticmethod
    async def _leave(script: Script) -> None:
        assert script.group is not None
        try:
            await script.group.leave()
        except LinesyncError:
            pass  # it was removed in the meantime

    def agent(self) -> None:
        name = self.random.choice(HOSTS)
        if self.world.hosts[name].agent is None:
            self.world.agent(name)
            return
        for script in self.alive:
            if script.host == name:
                script.log.over = True
        self.world.kill_agent(name)

    def line(self) -> None:
        wire = self.world.hosts[self.random.choice(HOSTS)].wire
        if wire.plugged:
            wire.pull()
        else:
            wire.plug()

    def hub(self) -> None:
        self.world.kill_hub(self.random.choice([0.0, 0.3, 2.0]))

    def settle(self) -> None:
        """Repair everything, and wait until the members that are left have completed a round."""
        self.failures = 0.0
        for name in HOSTS:
            host = self.world.hosts[name]
            host.wire.remove_faults()
            if not host.wire.plugged:
                host.wire.plug()
            if host.agent is None:
                self.world.agent(name)
        quiet = 0
        while quiet < 8:
            before = self.clock
            self.world.pass_time(5.0)
            quiet = quiet + 1 if before == self.clock else 0


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_members_of_a_group_agree_on_lossy_lines(part: int) -> None:
    for seed in range(part, lives(200, 5000), PARTS):
        life = Life(seed)
        try:
            life.run()
        except AssertionError as error:
            raise AssertionError(f"life {seed}: {error}") from error
