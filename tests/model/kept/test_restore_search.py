"""A model that is restored from its rows behaves like the model that stored them, at any moment of random lives.

After each input, the rows of the store are equal to the rows that are made from the current state. Therefore no change was
left out. At random moments, another model (the *twin*) is restored from the JSON of the rows. It has the same rows. For the
same inputs, both models then have the same outcomes, status and deadlines.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from linesync.model.hosts import membership
from linesync.model.sync import kept_results
from linesync.model.sync.barriers import generation as barrier_generation
from linesync.model.sync.barriers import history as barrier_history
from linesync.model.sync.services import SyncServices
from tests.effort import lives

from .life import HOSTS, Input, Inputs, Store, begin_search_again, perform, seen

INPUTS = 120
STEPS = (*[0.0] * 12, 0.25, 0.5, 1.0, 2.5, 4.0, 12.0, 25.0, 400.0)


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use limits that are so small that these lives reach them."""
    monkeypatch.setattr(membership, "HOSTS_MAX", 4)
    monkeypatch.setattr(barrier_generation, "GONE_REMEMBERED", 2)
    monkeypatch.setattr(barrier_history, "NAMES_REMEMBERED", 4)
    monkeypatch.setattr(barrier_history, "MEMBERS_REMEMBERED", 6)
    monkeypatch.setattr(kept_results, "RESULTS_PER_HOST", 6)


class Life:
    """A model, its store, and sometimes a twin that was restored from the store."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.inputs = Inputs(self.random)
        self.now = 1000.0
        self.services = SyncServices(stored=True)
        self.store = Store()
        self.store.take(self.services)
        self.twin: SyncServices | None = None
        self.twin_store = Store()
        self.shift = 0.0
        self.until = 0
        """The number of further inputs that the twin gets too."""
        self.dropped: list[int] = []
        self.twin_dropped: list[int] = []
        self.services.exchanges.dropped = self.dropped.append

    def live(self, inputs: int) -> None:
        for _ in range(inputs):
            if self.twin is None and self.random.random() < 0.08:
                self.restore()
            step = self.random.choice(STEPS)
            if step:
                self.pass_time(step)
            self.do(self.inputs.next(), closely=self.random.random() < 0.3)
            if self.twin is not None:
                self.until -= 1
                if self.until <= 0:
                    self.part()

    def pass_time(self, seconds: float) -> None:
        """Let time pass. Most hosts send frames, and deadlines are handled, some of them late."""
        silent = self.random.choice(((), (), ("h1",), ("h2",), ("h1", "h2", "h3"), ("h4", "h5")))
        calls = [self.inputs.hear(host) for host in HOSTS if host not in silent]
        stops = max(1, int(seconds / 12.5))
        for _ in range(stops):
            self.now += seconds / stops
            self.do(lambda services, now: [event for call in calls for event in call(services, now)], closely=False)
            self.do(lambda services, now: services.handle_timer(now), closely=False)

    def do(self, call: Input, *, closely: bool = True) -> Any:
        """Perform an input on the model and on its twin.

        :param closely: whether to compare all rows and states.
        """
        events = perform(call, self.services, self.now)
        self.inputs.learn(events, self.services.hosts(self.now))
        self.store.take(self.services)
        if closely:
            assert self.store.rows == Store.dump(self.services), "each change is marked"
        if self.twin is not None:
            assert seen(perform(call, self.twin, self.now + self.shift)) == seen(events)
            assert self.twin.take_asked() == self.services.take_asked()
            assert self.twin.take_noted() == self.services.take_noted()
            assert self.twin.testbus.take_actions() == self.services.testbus.take_actions()
            assert sorted(self.twin_dropped) == sorted(self.dropped)
            self.twin_store.take(self.twin)
            if closely:
                self.compare()
        return events

    def compare(self) -> None:
        """Check that both models show the same state."""
        assert self.twin is not None
        now, then = self.now, self.now + self.shift
        assert self.twin.status(then) == self.services.status(now)
        assert self.twin.testbus.show(then) == self.services.testbus.show(now)
        assert self.twin.namespace_states(then) == self.services.namespace_states(now)
        assert self.twin.waits_by_client() == self.services.waits_by_client()
        timer, twin_timer = self.services.next_timer(), self.twin.next_timer()
        assert twin_timer == (timer + self.shift if timer is not None else None)

    def restore(self) -> None:
        """Make the twin from the rows, and give both models the changes that a restart causes."""
        self.shift = self.random.choice((0.0, 0.0, 512.0, -64.0))
        then = self.now + self.shift
        self.twin = SyncServices.restore(self.store.shuffled(self.random), self.shift, then)
        self.twin_dropped, self.dropped[:] = [], []
        self.twin.exchanges.dropped = self.twin_dropped.append
        self.twin_store = Store()
        if not self.shift:
            self.twin_store.rows = dict(self.store.rows)
        self.twin_store.take(self.twin)
        assert self.twin_store.taken == (len(self.store.rows) if self.shift else 0)
        assert self.twin_store.rows.keys() == self.store.rows.keys()
        assert self.twin_store.rows == Store.dump(self.twin)
        asked = [row for row in self.twin.barriers.status(then) if row.unheard]
        self.services.extend_all(self.now)
        begin_search_again(self.services, self.now)
        outcomes, twin_outcomes = [], []
        for host in self.services.hosts(self.now):
            outcomes += self.services.heard(host.name, host.session, self.now)
            twin_outcomes += self.twin.heard(host.name, host.session, then)
        assert sorted(map(repr, seen(twin_outcomes))) == sorted(map(repr, seen(outcomes)))
        for services, store in ((self.services, self.store), (self.twin, self.twin_store)):
            services.take_asked()
            services.take_noted()
            services.testbus.take_actions()
            store.take(services)
        if len(asked) > 1:  # both were released, but perhaps in another order
            self.twin = None
        else:
            self.compare()
            self.until = self.random.randrange(60)

    def part(self) -> None:
        """Check the rows of the twin, and continue with one of the two models."""
        assert self.twin is not None
        assert self.twin_store.rows == Store.dump(self.twin), "each change is marked after a restart"
        if self.random.random() < 0.5:
            self.services, self.store, self.now = self.twin, self.twin_store, self.now + self.shift
            self.services.exchanges.dropped = self.dropped.append
        self.twin = None


@pytest.mark.parametrize("seed", range(lives(100, 10_000)))
def test_a_restored_model_behaves_like_the_stored_model(seed: int) -> None:
    Life(seed).live(INPUTS)
