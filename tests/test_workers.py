"""Threads for blocking calls: limited in number, shared by path, and no obstacle to the end of a process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from linesync.errors import Hung
from linesync.runtime.peer import Peer
from linesync.runtime.user import User
from linesync.workers import Call, Workers, run_blocking
from tests.real import wait_for

pytestmark = pytest.mark.live


class Hanging:
    """A job that does not return until ``free`` is set."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.running = 0
        self._lock = threading.Lock()

    def __call__(self) -> str:
        with self._lock:
            self.running += 1
        self.free.wait(20)
        return "free"


@pytest.fixture
def hanging() -> object:
    made = Hanging()
    yield made
    made.free.set()


def test_calls_on_one_mount_are_limited_to_their_share_and_other_calls_run(hanging: Hanging) -> None:
    workers = Workers(limit=4, share=2)
    calls = [Call(hanging, f"/mnt/nfs/{n}") for n in range(3)]
    for call in calls:
        workers.submit(call)
    wait_for(lambda: hanging.running == 2, "two calls that run")
    assert workers.submit(Call(lambda: 7, "/home/me/file")).result(5) == 7
    assert hanging.running == 2 and not calls[2].started
    hanging.free.set()
    assert [call.future.result(5) for call in calls] == ["free"] * 3


def test_a_call_that_waited_too_long_fails_and_names_the_oldest_call(hanging: Hanging) -> None:
    workers = Workers(limit=2, share=2)
    for n in range(2):
        workers.submit(Call(hanging, f"/mnt/nfs/{n}"))
    wait_for(lambda: hanging.running == 2, "both calls")
    late = Call(lambda: 7, "/mnt/nfs/late")
    future = workers.submit(late)
    workers.expire(late)
    with pytest.raises(Hung, match="2 earlier calls have not returned, the oldest, on /mnt/nfs/0, for 0 s"):
        future.result(5)
    hanging.free.set()
    assert workers.submit(Call(lambda: 8, "/mnt/nfs/next")).result(5) == 8


def test_the_cleanup_of_a_call_that_its_owner_has_left_runs_when_the_call_returns(hanging: Hanging) -> None:
    workers, cleaned = Workers(), threading.Event()
    call = Call(hanging, "/mnt/x")
    workers.submit(call)
    wait_for(lambda: hanging.running == 1, "the call")
    assert call.leave(cleaned.set) and workers.busy() == 1
    workers.await_cleaning(0.1)
    assert not cleaned.is_set()
    hanging.free.set()
    workers.await_cleaning(5)
    assert cleaned.is_set()


def test_a_call_that_is_left_before_it_starts_never_runs(hanging: Hanging) -> None:
    workers, done, cleaned = Workers(limit=1, share=1), threading.Event(), threading.Event()
    workers.submit(Call(hanging, "/mnt/x"))
    second = Call(done.set, "/mnt/x")
    workers.submit(second)
    assert second.leave(cleaned.set)
    second.future.cancel()
    hanging.free.set()
    assert cleaned.wait(5) and not done.is_set()


def test_many_calls_need_few_threads_which_end_when_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linesync.workers._IDLE", 0.05)
    before = threading.active_count()
    workers = Workers(limit=3)
    futures = [workers.submit(Call(lambda n=n: n, f"/{n}")) for n in range(500)]  # type: ignore[misc]
    assert [future.result(10) for future in futures] == list(range(500))
    assert threading.active_count() <= before + 3
    wait_for(lambda: threading.active_count() == before, "the threads' end")


def test_the_owner_gets_the_error_of_a_call() -> None:
    def fail() -> None:
        raise PermissionError(13, "no")

    with pytest.raises(PermissionError):
        Workers().submit(Call(fail, "/x")).result(5)


def test_a_process_can_end_while_one_of_its_threads_hangs() -> None:
    program = (
        "import threading, time; from linesync.workers import Call, FILES\n"
        "FILES.submit(Call(lambda: time.sleep(100), '/x')); call = Call(lambda: time.sleep(100), '/y')\n"
        "FILES.submit(call); time.sleep(0.2); call.leave(print)"
    )
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
    assert time.monotonic() - began < 10


def test_a_process_finishes_its_cleanup_before_it_ends() -> None:
    program = (
        "import time; from linesync.workers import Call, FILES; call = Call(lambda: time.sleep(0.3), '/x')\n"
        "FILES.submit(call); time.sleep(0.1); call.leave(lambda: print('clean', flush=True))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, timeout=30, capture_output=True)
    assert done.stdout == b"clean\n"


def in_loop(work: Callable[[], object]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


def test_a_loop_runs_while_a_call_hangs_and_undoes_a_late_result(hanging: Hanging) -> None:
    undone: list[str] = []

    async def work() -> None:
        call = asyncio.ensure_future(run_blocking(hanging, "/mnt/x", undone.append))
        began = time.monotonic()
        await asyncio.sleep(0.05)
        assert time.monotonic() - began < 1 and hanging.running == 1
        call.cancel()
        await asyncio.wait({call})

    in_loop(work)
    hanging.free.set()
    wait_for(lambda: undone == ["free"], "the undo")


def test_a_desk_writes_in_order_and_leaves_its_call_when_the_task_is_cancelled(hanging: Hanging) -> None:
    from linesync.runtime.desk import Behind

    async def work() -> None:
        desk, got = Peer(User(), "c").desk("/x"), bytearray()
        behind = Behind(desk, got.extend, 1000)
        for n in range(200):
            await behind.put(bytes([n]) * 100)
        await behind.flush()
        assert got == b"".join(bytes([n]) * 100 for n in range(200))

        cleaned = threading.Event()
        hung = asyncio.ensure_future(desk.do(hanging))
        await asyncio.sleep(0.05)
        hung.cancel()
        await asyncio.wait({hung})
        await asyncio.wait_for(desk.close(cleaned.set), 1)
        assert not cleaned.is_set()
        hanging.free.set()
        await asyncio.to_thread(cleaned.wait, 5)
        assert cleaned.is_set()

    in_loop(work)
