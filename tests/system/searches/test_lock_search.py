"""Compare locks with a reference model, over lossy lines."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import rule

from linesync.client.aio import Client

from .reference import Ask, Reference
from .search import KILLS, MOMENTS, Search, asking, profile, repeat


class Take(NamedTuple):
    """A request for a lock. With ``keep``, the host keeps the lock after the end of the script."""

    name: str
    keep: bool


class Unlock(NamedTuple):
    """A request that releases a lock with this token."""

    name: str
    token: int


class Locks(Reference):
    """One owner at a time, in the order of arrival, each with a larger token than all earlier ones."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: dict[str, list[str]] = {}  # the owner first
        self.host: dict[str, str] = {}
        self.keep: set[str] = set()
        self.kept: set[str] = set()
        self.token: dict[str, int] = {}
        self.next = 1

    def ask(self, arrival: str, host: str, what: Take | Unlock) -> None:
        self.host[arrival] = host
        queue = self.queue.setdefault(what.name, [])
        if isinstance(what, Take):
            queue.append(arrival)
            self.keep |= {arrival} if what.keep else set()
        elif queue and (self.token[queue[0]], self.host[queue[0]]) == (what.token, host):
            self.leave(queue[0])
            self.answer_ok(arrival, None)
        else:
            self.answer_error(arrival, "NotAllowed")
        self.settle()

    def leave(self, arrival: str) -> None:
        for queue in self.queue.values():
            if arrival in queue:
                queue.remove(arrival)

    def settle(self) -> None:
        self.queue = {name: queue for name, queue in self.queue.items() if queue}
        for owner in [queue[0] for queue in self.queue.values()]:
            if owner not in self.token:
                self.token[owner], self.next = self.next, self.next + 1
                self.answer_ok(owner, self.token[owner])

    def confirm(self, arrival: str) -> None:
        self.kept |= {arrival} & self.keep

    def forget(self, arrival: str) -> None:
        self.token.pop(arrival, None)
        self.kept.discard(arrival)
        self.keep.discard(arrival)

    def returns(self, arrival: str) -> bool:
        return any(queue[0] == arrival for queue in self.queue.values())

    def outlives(self, arrival: str) -> bool:
        return arrival in self.kept and self.returns(arrival)

    def view(self) -> Any:
        return {
            name: (self.token[queue[0]], [self.host[arrival] for arrival in queue])
            for name, queue in self.queue.items()
        }


class LockSearch(Search):
    REFERENCE = Locks
    ASKS = st.one_of(
        asking(st.builds(Take, st.sampled_from("kl"), st.sampled_from([False, False, True]))),
        st.tuples(st.just("give_back"), st.integers(0, 20)),
        st.tuples(st.just("unlock"), st.integers(0, 20), st.sampled_from(["hub", "a", "b", ""]), st.integers(0, 1)),
    )

    def unlock(self, choice: int, host: str, number: int) -> None:
        """A script releases a lock with a token that some script got earlier.

        The script may be on a host that does not own the lock. A hub that starts again begins with token 1 here, so an old
        token may equal the token of the current owner.
        """
        self.listen()
        taken = [ask for ask in self.asks.values() if ask.held is not None]
        if taken:
            ask = taken[choice % len(taken)]
            assert ask.held is not None
            self.ask(host or ask.host, number, Unlock(ask.what.name, ask.held.value), None)

    @rule(kill=KILLS, moment=MOMENTS, keep=st.booleans())
    def a_failure_while_a_lock_passes_to_the_next_owner(self, kill: tuple[Any, ...], moment: float, keep: bool) -> None:
        if self.reachable("a"):
            self.batch([("ask", "hub", 1, Take("k", False), None)])
            self.batch([("ask", "a", 0, Take("k", keep), None)])
            owner = self.scripts.get(("hub", 1))
            if owner is not None and owner.alive:
                self.batch([("kill", owner), kill], moment)
                self.batch([("reconnect", "a")])

    async def request(self, client: Client, ask: Ask) -> Any:
        if isinstance(ask.what, Take):
            return await client.lock(ask.what.name, timeout=ask.timeout, keep=ask.what.keep, arrival=ask.name)
        return await client.unlock(ask.what.name, ask.what.token)

    def can_retry(self, ask: Ask) -> bool:
        return isinstance(ask.what, Take) and super().can_retry(ask)

    def patience(self, ask: Ask) -> float | None:
        return 10.0 if isinstance(ask.what, Unlock) else super().patience(ask)

    def view(self, status: dict[str, Any]) -> Any:
        return {
            row["name"]: (row["token"], [row["owner"]["name"], *(who["name"] for who in row["queue"])])
            for row in status["locks"]
        }

    def nothing_is_left(self) -> None:
        """Locks that the controller keeps stay until a reset."""
        assert self.world is not None
        client = self.world.client()
        self.world.run(client.reset())
        self.world.run(client.aclose())
        super().nothing_is_left()


LockSearch.TestCase.settings = profile()
TestLockSearch = LockSearch.TestCase


def test_a_take_that_was_cancelled_during_its_commit_gets_another_grant_when_it_is_repeated() -> None:
    for pause in (0.01, 0.02, 0.03):
        repeat(LockSearch, ([("ask", "b", 1, Take("k", False), None), ("cancel", 0), ("retry", 0, 0)], pause))
