"""``Durable`` commits the memory of a hub to a store. Here the tests control the store, and can let it fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import pytest

from linesync.errors import LinesyncFailed
from linesync.hub.state.durable import Durable, restore
from linesync.model.participants import Client
from linesync.store.state import Change, NotStored, StateFailed
from linesync.store.state_file import open_state


class Store:
    """A store whose commits the test completes."""

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
    """A durable memory, and the replies in the order in which the hub sent them."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.sent: list[str] = []
        self.store = Store()
        self.durable: Durable = restore(self.store, [], lambda text, peer="", burst=0: self.log.append(text))

    def give(self, name: str, reply: str) -> None:
        """Give a unit of a semaphore, and commit the change."""
        client = Client("hub", "1")
        services = self.durable.memory.services
        for outcome in services.semaphores.change(reply, "default", name, 1, client, 5000.0):
            services.confirm(outcome.arrival, client)
        self.durable.commit(lambda: self.sent.append(reply))

    def value(self, commit: int, name: str) -> str | None:
        return self.store.commits[commit][0].get(("semaphore", f"default\t{name}"))


def play(work: Callable[[Scene], object]) -> None:
    async def run() -> None:
        done = work(Scene())
        if asyncio.iscoroutine(done):
            await done

    asyncio.run(run())


def test_changes_during_a_commit_share_the_next_one_and_replies_keep_their_order() -> None:
    async def work(scene: Scene) -> None:
        scene.give("s", "first")
        scene.give("s", "second")
        scene.give("t", "third")
        scene.durable.commit(lambda: scene.sent.append("nothing changed"))
        assert len(scene.store.commits) == 1
        scene.store.commits[0][1].set_result(None)
        await asyncio.sleep(0)
        assert scene.sent == ["first"]
        assert scene.value(1, "s") and scene.value(1, "t")
        scene.store.commits[1][1].set_result(None)
        await asyncio.sleep(0)
        assert scene.sent == ["first", "second", "third", "nothing changed"]
        assert len(scene.store.commits) == 2

    play(work)


def test_a_reply_without_changes_is_sent_immediately() -> None:
    def work(scene: Scene) -> None:
        scene.durable.commit(lambda: scene.sent.append("now"))
        assert scene.sent == ["now"] and not scene.store.commits

    play(work)


def test_a_commit_contains_only_the_changed_rows() -> None:
    async def work(scene: Scene) -> None:
        scene.give("s", "first")
        scene.give("t", "second")
        scene.store.commits[0][1].set_result(None)
        await asyncio.sleep(0)
        assert scene.value(0, "s") and scene.value(1, "t") and not scene.value(1, "s")

    play(work)


def test_a_new_commit_includes_the_rows_of_a_failed_commit() -> None:
    async def work(scene: Scene) -> None:
        scene.give("s", "first")
        scene.store.commits[0][1].set_exception(NotStored("the disk is full"))
        scene.give("t", "second")  # before the callback of the failed commit runs
        await asyncio.sleep(0)
        assert len(scene.store.commits) == 1
        assert scene.durable.refusal == "the disk is full"
        scene.durable._begin()
        assert scene.value(1, "s") and scene.value(1, "t")
        assert not scene.sent
        scene.store.commits[1][1].set_result(None)
        await asyncio.sleep(0)
        assert scene.sent == ["first", "second"] and not scene.durable.refusal
        assert len(scene.log) == 2

    play(work)


def test_after_a_failed_retry_the_newer_value_of_a_row_is_stored() -> None:
    async def work(scene: Scene) -> None:
        scene.give("s", "first")
        scene.store.commits[0][1].set_exception(NotStored("the disk is full"))
        await asyncio.sleep(0)
        scene.durable._begin()
        scene.give("s", "second")
        scene.store.commits[1][1].set_exception(NotStored("the disk is full"))
        await asyncio.sleep(0)
        scene.durable._begin()
        assert '"value":2' in (scene.value(2, "s") or "")
        scene.store.commits[2][1].set_result(None)
        await asyncio.sleep(0)
        assert scene.sent == ["first", "second"]

    play(work)


def test_a_row_that_was_created_and_removed_while_the_disk_was_full_is_removed_from_the_disk() -> None:
    async def work(scene: Scene) -> None:
        client = Client("hub", "1")
        waits = scene.durable.memory.services.semaphores
        waits.change("take", "default", "s", -1, client, 5000.0)
        scene.durable.commit(lambda: None)
        (kind,) = {key for key in scene.store.commits[0][0] if key[0] == "wait"}
        scene.store.commits[0][1].set_exception(NotStored("the disk is full"))
        await asyncio.sleep(0)
        scene.durable.memory.services.withdraw("take", client, 5000.0)
        scene.durable._begin()
        assert scene.store.commits[1][0][kind] is None

    play(work)


def test_no_reply_is_sent_after_a_write_has_failed() -> None:
    async def work(scene: Scene) -> None:
        scene.give("s", "first")
        scene.give("s", "second")
        scene.store.failed = StateFailed("a write failed")
        for _, future in scene.store.commits:
            future.set_exception(scene.store.failed)
        await asyncio.sleep(0)
        scene.durable.commit(lambda: scene.sent.append("third"))
        await asyncio.sleep(0)
        assert not scene.sent

    play(work)


def test_a_hub_logs_the_number_of_restored_rows(tmp_path: object) -> None:
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
