"""The watch on processes that own a resource of the hub."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable

import pytest

from linesync.errors import LinesyncFailed, UsageError
from linesync.jobs import owners
from linesync.jobs.commands.handover import begin_of
from linesync.jobs.owners import Owners

Gone = list[tuple[int, str]]


def with_owners(work: Callable[[Owners, Gone], Awaitable[None]]) -> None:
    """Run ``work`` with a new Owners and the list of processes whose end was reported; check that no descriptor is left."""

    async def main() -> None:
        gone: Gone = []
        watched = Owners("sut", lambda pid, begin: gone.append((pid, begin)))
        before = len(os.listdir("/proc/self/fd"))
        try:
            await work(watched, gone)
        finally:
            watched.close()
        assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(main())


def test_the_end_of_a_process_is_reported_once() -> None:
    async def work(watched: Owners, gone: Gone) -> None:
        process = await asyncio.create_subprocess_exec("sleep", "300")
        try:
            begin = begin_of(process.pid)
            for _ in range(2):
                watched.watch(process.pid, begin)
            assert watched.watches(process.pid, begin) and not gone
        finally:
            process.kill()
        async with asyncio.timeout(10):
            while not gone:
                await asyncio.sleep(0.01)
        await process.wait()
        assert gone == [(process.pid, begin)] and not watched.watches(process.pid, begin)

    with_owners(work)


def test_a_process_that_does_not_run_or_has_another_start_time_is_refused() -> None:
    async def work(watched: Owners, gone: Gone) -> None:
        ended = await asyncio.create_subprocess_exec("true")
        begin = begin_of(ended.pid)
        await ended.wait()
        own_pid = os.getpid()
        invalid: list[tuple[int, str]] = [(ended.pid, begin), (own_pid, "1"), (0, ""), (-1, ""), (1 << 40, "1")]
        for pid, start in invalid:
            with pytest.raises(UsageError, match=f"process {pid} does not run on sut"):
                watched.watch(pid, start)
        assert not gone

    with_owners(work)


def test_a_thread_is_refused() -> None:
    async def work(watched: Owners, gone: Gone) -> None:
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait)
        thread.start()
        assert thread.native_id is not None
        with pytest.raises(UsageError):
            watched.watch(thread.native_id, begin_of(thread.native_id))
        stop.set()
        thread.join()

    with_owners(work)


def test_too_many_processes_and_an_old_kernel_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(watched: Owners, gone: Gone) -> None:
        own_pid = os.getpid()
        monkeypatch.setattr(owners, "_LIMIT", 0)
        with pytest.raises(LinesyncFailed, match="already watches 0 processes"):
            watched.watch(own_pid, begin_of(own_pid))
        monkeypatch.undo()
        monkeypatch.delattr(os, "pidfd_open")
        with pytest.raises(LinesyncFailed, match=r"Linux 5\.3 or newer"):
            watched.watch(own_pid, begin_of(own_pid))
        monkeypatch.undo()

    with_owners(work)
