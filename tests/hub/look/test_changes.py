"""The changes of the hub's state, and the scripts that follow them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from linesync.client.changes import Following
from linesync.errors import Aborted, BrokenError, MemberLost, NotAllowed
from linesync.hub.look.follower import Follower
from linesync.model.policy import Policy, Rule
from linesync.model.state.change import KINDS, LOST, Change
from tests.system.world import World

DOCUMENTED = {kind for kinds in KINDS for kind in kinds}


class Watch:
    """A script of the controller that follows the changes."""

    def __init__(self, world: World, host: str = "hub") -> None:
        self.world = world
        self.client = world.client(host)
        self.following: Following = world.run(self.client.changes())

    def seen(self) -> list[Change]:
        """The changes that have arrived since the last call."""
        self.world.pass_time(1.0)
        found = []
        while (change := self.following.next_nowait()) is not None:
            found.append(change)
            assert change.kind in DOCUMENTED
        return found

    def brief(self) -> list[tuple[Any, ...]]:
        """The kind, name, host and value of each new change."""
        return [(change.kind, change.name, change.who, change.value) for change in self.seen()]


def test_a_follower_sees_each_kind_of_change_in_order() -> None:
    with World(seed=1) as world:
        watch = Watch(world)
        world.agent("a")
        world.deliver()
        assert watch.brief() == [("host up", "a", "a", None)]
        script, hub = world.client("a"), world.client()
        world.run(hub.semaphore("slots", 2))
        world.run(script.semaphore("slots", -1))
        held = world.run(hub.hold("slots"))
        world.run(hub.give_back(held))
        assert watch.brief() == [
            ("semaphore changed", "slots", "hub", 2),
            ("semaphore changed", "slots", "a", 1),
            ("semaphore changed", "slots", "hub", 0),
            ("semaphore changed", "slots", "hub", 1),
        ]
        world.run(hub.set_events("ready"))
        world.run(hub.set_events("ready"))
        world.run(hub.clear_events("ready"))
        world.run(script.send("log", "x=1"))
        assert watch.brief() == [
            ("event set", "ready", "hub", None),
            ("event cleared", "ready", "hub", None),
            ("message sent", "log", "a", 1),
        ]
        task = world.start(script.exchange("keys", ["a", "hub"], b"1"))
        world.run(hub.exchange("keys", ["a", "hub"], b"2"))
        world.settle(task.done)
        seen = watch.brief()
        assert sorted(seen[:2]) == [("exchange arrival", "keys", "a", None), ("exchange arrival", "keys", "hub", None)]
        assert seen[2:] == [("exchange complete", "keys", "", 1)]
        world.run(hub.reset("slots"))
        assert watch.brief() == [("reset", "slots", "hub", None)]


def test_the_changes_of_a_lock_have_its_token() -> None:
    with World(seed=2) as world:
        world.agent("a")
        world.deliver()
        watch, script, hub = Watch(world), world.client("a"), world.client()
        first = world.run(hub.lock("flash"))
        second = world.start(script.lock("flash"))
        world.pass_time(1.0)
        world.run(hub.give_back(first))
        world.settle(second.done)
        world.kill(script)
        assert [(change.kind, change.who, change.value, change.why) for change in watch.seen()] == [
            ("lock taken", "hub", first.value, ""),
            ("lock waiting", "a", None, ""),
            ("lock given back", "hub", first.value, "gave up"),
            ("lock taken", "a", second.result().value, ""),
            ("lock given back", "a", second.result().value, "client gone"),
        ]


def test_the_release_and_the_failure_of_a_barrier_are_one_change_for_all_parties() -> None:
    with World(seed=3) as world:
        world.agent("a")
        world.agent("b")
        world.deliver()
        watch = Watch(world)
        tasks = [world.start(world.client(host).barrier("up", members=["a", "b"])) for host in "ab"]
        world.settle(lambda: all(task.done() for task in tasks))
        released = watch.brief()
        assert sorted(released[:2]) == [("barrier arrival", "up", "a", None), ("barrier arrival", "up", "b", None)]
        assert released[2:] == [("barrier released", "up", "", 1)]
        task = world.start(world.client("a").barrier("up", members=["a", "b"]))
        world.pass_time(1.0)
        world.kill_agent("b")
        world.pass_time(30.0)
        assert isinstance(task.exception(), MemberLost)
        seen = watch.seen()
        assert [change.kind for change in seen] == ["barrier arrival", "host lost", "barrier failed"]
        assert "b is lost" in seen[2].why


def test_a_change_has_its_time_its_namespace_and_its_sender() -> None:
    with World(seed=4) as world:
        world.agent("a")
        world.deliver()
        watch, first, second = Watch(world), world.client("a"), world.client("a")
        world.run(second.set_events("ready", namespace="nightly"))
        wait = world.start(first.barrier("up", 2, timeout=2.0))
        world.pass_time(5.0)
        assert wait.exception() is not None
        event, arrival, left = watch.seen()
        assert event.namespace == "nightly" and event.time.endswith("Z") and len(event.time) == 24
        assert event.by is not None and (event.by.host, event.by.line) == ("a", "/dev/a@hub")
        assert arrival.by is not None and arrival.by.script != event.by.script
        assert (left.kind, left.why, left.by) == ("barrier left", "timed out", arrival.by)
        assert [change.number for change in (event, arrival, left)] == [
            event.number,
            event.number + 1,
            event.number + 2,
        ]


def test_a_script_on_a_host_follows_the_hub_through_its_agent() -> None:
    with World(seed=5) as world:
        world.agent("a")
        world.deliver()
        watch = Watch(world, "a")
        world.run(world.client().set_events("ready"))
        assert watch.brief() == [("event set", "ready", "hub", None)]


def test_a_follower_that_does_not_read_loses_the_oldest_changes_and_their_number_is_reported() -> None:
    with World(seed=6) as world:
        watch, hub = Watch(world), world.client()
        long = "x" * 200
        total = 4000

        async def change() -> None:
            for _ in range(total // 2):
                await hub.set_events(long)
                await hub.clear_events(long)

        first = world.hub._requests.changes.number
        world.run(change(), 600.0)
        assert world.hub._requests.changes.number == first + total, "the hub was not blocked"
        (follower,) = world.hub._requests.changes._followers
        assert follower._size <= 1 << 18
        seen: list[Change] = []
        while not seen or seen[-1].number < first + total:
            seen += watch.seen()
        (gap,) = [entry for entry in seen if entry.kind == LOST]
        assert gap.value is not None and gap.value > 0
        assert len(seen) - 1 + gap.value == total, "each change has arrived or is counted"
        after = seen[seen.index(gap) + 1]
        assert gap.number == after.number - 1


def test_following_is_an_asynchronous_iterator_and_ends_with_its_block() -> None:
    with World(seed=12) as world:
        client, hub = world.client(), world.client()

        async def work() -> list[str]:
            async with await client.changes() as following:
                await hub.set_events("one", "two", "three")
                found = []
                async for change in following:
                    found.append(change.name)
                    if len(found) == 3:
                        break
            return found

        assert world.run(work()) == ["one", "two", "three"]
        world.pass_time(1.0)
        assert not world.hub._requests.changes._followers


def test_a_follower_ends_when_it_is_closed_and_the_hub_forgets_it() -> None:
    with World(seed=7) as world:
        watch = Watch(world)
        watch.following.close()
        world.pass_time(1.0)
        assert not world.hub._requests.changes._followers


@pytest.mark.parametrize("host", ["hub", "a"])
def test_a_follower_gets_an_error_when_the_hub_dies(host: str) -> None:
    with World(seed=8) as world:
        world.agent("a")
        world.deliver()
        watch = Watch(world, host)
        task = world.start(watch.following.next())
        world.kill_hub()
        world.settle(task.done)
        with pytest.raises(BrokenError, match="the changes can no longer be followed: .*; check that the hub"):
            task.result()


def test_a_follower_on_a_host_whose_line_is_cut_gets_an_error_after_the_lease() -> None:
    with World(seed=11) as world:
        world.agent("a")
        world.deliver()
        watch = Watch(world, "a")
        task = world.start(watch.following.next())
        world.hosts["a"].wire.pull()
        world.settle(task.done)
        assert "followed: the hub acknowledged nothing for 20 s;" in str(task.exception())
        world.pass_time(20.0)
        assert not world.hub._requests.changes._followers


def test_following_needs_the_permission_to_look() -> None:
    with World(seed=9) as world:
        world.hub.set_policy(Policy((Rule(allow=False, do=("look",)),)))
        with pytest.raises(NotAllowed, match="may not look at the state of the hub, because the rule .* denies it"):
            world.run(world.client().changes())
        assert "refused 'changes' from script 1 on hub, line unix:/hub#1: " in world.transcript()


def test_the_log_names_the_sender_of_a_reset() -> None:
    with World(seed=10) as world:
        hub = world.client()
        world.run(hub.set_events("ready"))
        world.run(hub.reset("ready", "other"))
        sentence = "script 1 on hub, line unix:/hub#1 reset"
        assert f"{sentence} ready, other of namespace 'default'; 0 waits failed" in world.transcript()
        waiting = world.start(world.client().wait_events("never"))
        world.pass_time(0.1)
        world.run(hub.reset())
        assert f"{sentence} all names of namespace 'default'; 1 wait failed" in world.transcript()
        assert isinstance(waiting.exception(), Aborted)


def test_a_follower_returns_the_latest_changes_and_counts_the_lost_ones() -> None:
    async def work() -> None:
        follower = Follower(10)
        for number in range(5):
            follower.put(b"%d234" % number)
        assert follower.take(1) == (3, [b"3234"])
        follower.put(b"more than ten bytes")
        assert follower.take() == (1, [b"more than ten bytes"])
        assert follower.take() == (0, [])

    asyncio.run(work())
