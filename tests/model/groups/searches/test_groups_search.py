"""Random lives of a group without lines: joins, deaths, restarts of hosts and of the hub, slow and failing steps, messages.

The members' own logs are judged (:mod:`.judge`). The hub's rows are compared with its state at each restart.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from linesync.client.groups.events import Message, Step, View
from linesync.errors import LinesyncError
from linesync.model.participants import Cause
from tests.effort import lives

from ..play import Actor, Play, services
from .judge import MemberLog, check_all, check_stable

HOSTS = ("a", "b", "c", "d")


class Life:
    """One life."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.play = Play(
            init=random.choice(["first", "first", "in-turn"]),
            activate=random.choice(["after", "after", "before"]),
            quorum=random.choice([0, 0, 2]),
            on_failure=random.choice(["retry", "retry", "exclude"]),
            retries=100,
        )
        self.play.delays = random.random() < 0.5
        self.logs: dict[Actor, MemberLog] = {}
        self.failing = True
        self.clock = 0
        self.sent = 0
        self.running: dict[Actor, Step] = {}

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def join(self) -> None:
        host = self.random.choice(HOSTS)
        name = self.random.choice([host, f"{host}#x"])
        ids = [one for one in (1, 2, 3) if self.random.random() < 0.6]
        announced = [services(one, serialize=one == 2)[0] for one in ids]
        first = self.epoch
        try:
            actor = self.play.join(name, *announced, act=False)
        except LinesyncError:
            return
        self.logs[actor] = MemberLog(name, ids, first)

    @property
    def epoch(self) -> int:
        """The epoch of the last view."""
        epoch: int = self.play.groups._epoch
        return epoch

    def act(self) -> None:
        """Let one member do one action."""
        actors = [actor for actor in self.logs if not self.logs[actor].over]
        if not actors:
            return
        actor = self.random.choice(actors)
        step = self.running.get(actor)
        if step is not None and self.random.random() < 0.4:
            self.finish(actor, step)
            return
        if actor.arriving and self.random.random() < 0.5:
            actor.receive()
            return
        event = actor.inbox.next()
        if event is not None:
            self.handle(actor, event)
        elif actor.inbox.ended is not None:
            self.end(actor)
        elif not actor.open:
            actor.ask()

    def handle(self, actor: Actor, event: Any) -> None:
        log = self.logs[actor]
        if isinstance(event, View):
            actor.view = event
            log.add(self.tick(), "view", event)
        elif isinstance(event, Message):
            log.add(self.tick(), "message", event)
        elif event.kind == "stop" and not actor.inbox.to_stop(event):
            actor.report(event)
        else:
            log.add(self.tick(), "step", event)
            if event.kind == "abort" and actor.inbox.running is None:
                self.running.pop(actor, None)
            elif event.kind in ("init", "process", "activate", "stop"):
                self.running[actor] = event

    def finish(self, actor: Actor, step: Step) -> None:
        del self.running[actor]
        chance = self.random.random()
        if chance < 0.05 and self.failing:
            actor.report(step, "failed", "x")
        elif chance < 0.2 and step.kind == "process":
            actor.report(step, "again")
        else:
            self.logs[actor].add(self.tick(), "done", step)
            actor.report(step)
            return
        self.logs[actor].add(self.tick(), "done", step.but(kind="no"))

    def end(self, actor: Actor) -> None:
        while (event := actor.inbox.next()) is not None:
            self.handle(actor, event)
        self.logs[actor].over = True
        self.running.pop(actor, None)

    def cast(self) -> None:
        actors = [actor for actor in self.logs if not self.logs[actor].over and actor.view is not None]
        if not actors:
            return
        actor = self.random.choice(actors)
        self.sent += 1
        assert actor.view is not None
        log, ring = self.logs[actor], actor.view.ring
        parts = [f"{self.sent}{part}" for part in "abc"[: self.random.choice([1, 1, 2, 3])]]
        data = "".join(parts).encode()
        state = len(parts) == 1 and self.random.random() < 0.2
        log.add(self.tick(), "cast", ring, data)
        for number, part in enumerate(parts):
            if log.over:
                return
            try:
                actor.cast(part, ring.epoch, part=number > 0, more=number + 1 < len(parts), state=state)
            except LinesyncError:
                log.add(self.tick(), "refused", data)
                return
            for _ in range(self.random.choice([0, 3]) if number + 1 < len(parts) else 0):
                self.random.choice([self.act, self.act, self.act, self.join, self.die])()
        log.add(self.tick(), "posted", data)

    def die(self) -> None:
        alive = [actor for actor in self.logs if not self.logs[actor].over]
        if not alive:
            return
        actor = self.random.choice(alive)
        epoch = self.epoch
        if self.random.random() < 0.5:
            self.play.end_client(actor)
            gone = [actor]
        else:
            host = actor.client.host
            gone = [one for one in alive if one.client.host == host]
            self.play.lose(host, self.random.choice([Cause.RESTARTED, Cause.STOPPED]))
        for one in gone:
            self.logs[one].over = True
            self.logs[one].last = min(self.logs[one].last or 0, epoch)
            self.running.pop(one, None)

    def live(self, steps: int) -> None:
        """Perform random actions."""
        for _ in range(steps):
            chance = self.random.random()
            if chance < 0.05:
                self.join()
            elif chance < 0.07:
                self.die()
            elif chance < 0.08:
                self.play.restart_hub(self.random)
            elif chance < 0.12:
                self.cast()
            elif chance < 0.14:
                self.pass_time(self.random.choice([0.1, 1.0, 3.0]))
            else:
                self.act()

    def run(self) -> None:
        self.live(self.random.randrange(50, 400))
        check_all(list(self.logs.values()), init=self.play.terms.init)
        self.settle()
        check_all(list(self.logs.values()), init=self.play.terms.init)
        if len([log for log in self.logs.values() if not log.over]) >= self.play.terms.quorum:
            check_stable(list(self.logs.values()))

    def pass_time(self, seconds: float) -> None:
        self.play.now += seconds
        for host in self.play.model.hosts(self.play.now):
            self.play.tell(self.play.model.heard(host.name, host.session, self.play.now))
        self.play.tell(self.play.model.handle_timer(self.play.now))

    def settle(self) -> None:
        """Let all members act, without further failures, until nothing happens for longer than the longest delay."""
        self.failing = False
        quiet = 0
        while quiet < 15:
            before = self.clock
            for _ in range(20):
                self.act()
            quiet = quiet + 1 if self.clock == before else 0
            self.pass_time(5.0)


@pytest.mark.parametrize("part", range(4))
def test_members_of_a_group_agree_whatever_happens(part: int) -> None:
    for seed in range(part, lives(1200, 40_000), 4):
        life = Life(seed)
        try:
            life.run()
        except AssertionError as error:
            raise AssertionError(f"life {seed}: {error}") from error
