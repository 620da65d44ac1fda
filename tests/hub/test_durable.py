"""A hub's memory in a store, with a store that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import pytest

from linesync.errors import LinesyncFailed
from linesync.hub.durable import Durable, restore
from linesync.model.participants import Client
from linesync.store.state import Change, NotStored, StateFailed
from linesync.store.state_file import open_state


class Store:
    """Commits are done when the test says so."""

    hub = "0123456789abcdef"
    offset = 5000.0
    full = False
    failed: StateFailed | None = None

    def __init__(self) -> None:
        self.commits: list[tuple[dict[tuple[str, str], str | None], asyncio.Future[None]]] = []

    async def room(self) -> None: ...
    def commit(self, changes: Sequence[Change], *, remove: Iterable[int] = ()) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.commits.append(({(kind, key): value for kind, key, value in changes}, future))
        return future

    def append(self, number: int, offset: int, data: bytes) -> asyncio.Future[None]:
        raise NotImplementedError

    def read(self, number: int, offset: int, count: int) -> asyncio.Future[bytes]:
        raise NotImplementedError

    async def close(self) -> None: ...


class Scene:
    """A durable memory, and the order in which replies left."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.left: list[str] = []
        self.store = Store()
        self.durable: Durable = restore(self.store, [], lambda text, peer="", burst=0: self.log.append(text))

    def give(self, name: str, reply: str) -> None:
        """Give a unit of a semaphore, and commit that."""
        client = Client("hub", "1")
        services = self.durable.memory.services
        for outcome in services.semaphores.change(reply, "default", name, 1, client, 5000.0):
            services.confirm(outcome.arrival, client)
        self.durable.commit(lambda: self.left.append(reply))

    def value(self, commit: int, name: str) -> str | None:
        return self.store.commits[commit][0].get(("semaphore", f"default\t{name}"))


def play(work: Callable[[Scene], object]) -> None:
    async def run() -> None:
        done = work(Scene())
        if asyncio.iscoroutine(done):
            await done

    asyncio.run(run())


def test_a_reply_leaves_after_its_commit_and_all_earlier_ones() -> None:
    async def work(scene: Scene) -> None:
        scene.give("s", "first")
        scene.give("s", "second")
        scene.durable.commit(lambda: scene.left.append("nothing changed"))
        first, second = (future for _, future in scene.store.commits)
        second.set_result(None)
        await asyncio.sleep(0)
        assert not scene.left
        first.set_result(None)
        await asyncio.sleep(0)
        assert scene.left == ["first", "second", "nothing changed"]

    play(work)


def test_nothing_waits_if_nothing_has_changed() -> None:
    def work(scene: Scene) -> None:
        scene.durable.commit(lambda: scene.left.append("now"))
        assert scene.left == ["now"] and not scene.store.commits

    play(work)


def test_only_what_has_changed_is_stored() -> None:
    def work(scene: Scene) -> None:
        scene.give("s", "first")
        scene.give("t", "second")
        assert scene.value(0, "s") and scene.value(1, "t") and not scene.value(1, "s")

    play(work)


def test_a_commit_that_is_made_before_the_error_of_the_last_one_is_handled_contains_its_rows() -> None:
    async def work(scene: Scene) -> None:
        scene.give("s", "first")
        scene.store.commits[0][1].set_exception(NotStored("the disk is full"))
        scene.give("t", "second")  # the callback of the error has not run yet
        assert len(scene.store.commits) == 1
        assert scene.durable.refusal == "the disk is full"
        scene.durable._try_again()
        assert scene.value(1, "s") and scene.value(1, "t")
        assert not scene.left
        scene.store.commits[1][1].set_result(None)
        await asyncio.sleep(0)
        assert scene.left == ["first", "second"] and not scene.durable.refusal
        assert len(scene.log) == 2

    play(work)


def test_what_changes_during_an_attempt_that_fails_is_newer_than_its_rows() -> None:
    async def work(scene: Scene) -> None:
        scene.give("s", "first")
        scene.store.commits[0][1].set_exception(NotStored("the disk is full"))
        await asyncio.sleep(0)
        scene.durable._try_again()
        scene.give("s", "second")
        scene.store.commits[1][1].set_exception(NotStored("the disk is full"))
        await asyncio.sleep(0)
        scene.durable._try_again()
        assert '"value":2' in (scene.value(2, "s") or "")
        scene.store.commits[2][1].set_result(None)
        await asyncio.sleep(0)
        assert scene.left == ["first", "second"]

    play(work)


def test_nothing_leaves_after_a_write_has_failed() -> None:
    async def work(scene: Scene) -> None:
        scene.give("s", "first")
        scene.give("s", "second")
        scene.store.failed = StateFailed("a write failed")
        for _, future in scene.store.commits:
            future.set_exception(scene.store.failed)
        await asyncio.sleep(0)
        scene.durable.commit(lambda: scene.left.append("third"))
        await asyncio.sleep(0)
        assert not scene.left

    play(work)


def test_a_hub_logs_what_it_has_restored(tmp_path: object) -> None:
    async def work() -> None:
        path, log = f"{tmp_path}/hub.db", []
        for _ in range(2):
            state, rows = await open_state(path)
            durable = restore(state, rows, lambda text, peer="", burst=0: log.append(text))
            client = Client("hub", "1")
            durable.memory.services.semaphores.change("x", "default", "s", 1, client, state.offset)
            durable.memory.services.locks.take("y", "default", "l", client, state.offset)
            await durable.close()
        assert log == ["restored 1 wait, 1 semaphore, 1 lock"]

    asyncio.run(work())


@pytest.mark.parametrize(
    "row",
    [
        ("semaphore", "default\ts", "{}"),
        ("semaphore", "default\ts", "nonsense"),
        ("reply", "7/1", '{"request":"1","text":"ok"}'),
        ("session", "one", "{}"),
        ("unheard of", "x", "{}"),
    ],
)
def test_a_row_that_is_not_valid_is_refused(row: tuple[str, str, str]) -> None:
    async def work() -> None:
        with pytest.raises(LinesyncFailed, match="cannot restore the"):
            restore(Store(), [row], lambda text, peer="", burst=0: None)

    asyncio.run(work())
