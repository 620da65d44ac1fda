"""With ``init`` in turn and ``activate`` before the barrier, members do the same as the nodes of the reference, which
has no hub (:mod:`.seed`)."""

from __future__ import annotations

from random import Random

import pytest

from linesync.client.groups.events import Step
from tests.effort import lives

from ..play import Actor, Play
from .seed import Cluster, Node

NAMES = ("a", "b", "c", "d")
PARTS = 2


class Both:
    """A group and a cluster that get the same inputs."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.play = Play(init="in-turn", activate="before")
        self.cluster = Cluster(self.again)
        self.actors: dict[str, Actor] = {}
        self.pairs: list[tuple[Actor, Node]] = []

    def again(self, name: str, ring: int, service: int) -> int:
        """The number of times that a process asks to be called again."""
        return Random(f"{self.seed} {name} {ring} {service}").choice((0, 0, 0, 1, 3))

    def join(self) -> None:
        name = self.random.choice(NAMES)
        if name in self.actors:
            return
        ids = tuple(sorted(self.random.sample(range(1, 7), self.random.randrange(4))))
        actor = self.actors[name] = self.play.join(name, *ids, act=False)
        actor.slow = {"process"}
        self.pairs.append((actor, self.cluster.join(name, ids)))
        self.receive()

    def leave(self) -> None:
        if self.actors:
            name = self.random.choice(sorted(self.actors))
            self.play.end_client(self.actors.pop(name))
            self.cluster.leave(name)
            self.receive()

    def receive(self) -> None:
        """Let the members get all events up to the next step that they have to run."""
        busy = True
        while busy:
            acted = [actor.act() for actor in self.actors.values() if not self.stands(actor)]
            for actor in self.actors.values():
                if self.stands(actor) and not actor.open:
                    actor.ask()  # an abort may come before the step runs
            busy = any(acted)

    def stands(self, actor: Actor) -> bool:
        """Whether the next event of a member is a step, which runs only when the member works."""
        first = next(iter(actor.inbox._events), None)
        return isinstance(first, Step) and first.kind in ("init", "process", "activate")

    def work(self) -> None:
        """Let a member call process once, with init before the first call and activate after the last call."""
        if not self.actors:
            return
        name = self.random.choice(sorted(self.actors))
        actor = self.actors[name]
        while self.stands(actor):
            actor.act()
            if actor.unreported:
                step = actor.unreported.pop()
                assert actor.view is not None
                calls = [one for one in self.calls(actor) if one == ("process", step.service)]
                done = len(calls) > self.again(name, actor.view.ring.epoch, step.service)
                actor.report(step, "done" if done else "again")
                if not done:
                    break
                self.receive_activate(actor)
                break
        self.cluster.work(name)
        self.receive()

    @staticmethod
    def receive_activate(actor: Actor) -> None:
        first = next(iter(actor.inbox._events), None)
        if isinstance(first, Step) and first.kind == "activate":
            actor.act()

    @staticmethod
    def calls(actor: Actor) -> list[object]:
        """The entries in the log of a member since its last view."""
        last = max(number for number, one in enumerate(actor.log) if one[0] == "view")
        return actor.log[last:]

    def run(self) -> None:
        for _ in range(self.random.randrange(20, 150)):
            step = self.random.choices([self.join, self.leave, self.work], [2, 1, 12])[0]
            step()
        for _ in range(300):
            self.work()
        for actor, node in self.pairs:
            assert actor.log == node.log, f"life {self.seed}: {node.name} {node.services}\n{actor.log}\n{node.log}"


@pytest.mark.parametrize("part", range(PARTS))
def test_members_log_the_same_as_the_nodes_of_the_reference_without_a_hub(part: int) -> None:
    for seed in range(part, lives(400, 20_000), PARTS):
        Both(seed).run()


def test_the_reference_imports_no_code_of_linesync() -> None:
    from pathlib import Path

    from . import seed

    assert "linesync" not in "".join(
        line
        for line in Path(str(seed.__file__)).read_text().splitlines()
        if line.lstrip().startswith(("import", "from"))
    )
