"""Runs calls that may block in threads, for both drivers."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from ..workers import FILES, PATIENCE, SPOOL, Call, Workers

__all__ = ["Threaded", "Waited", "start"]

_SHORT_CALL = 0.05  # seconds within which most calls on a file end

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD, a parameter of mallopt(3)
_PIECE = 1 << 17  # bytes: the initial value of this parameter, which the C library would increase


class Threaded:
    """A call that runs in a thread.

    :param loop: the event loop that is notified.
    :param workers: the threads.
    :param job: the call.
    :param about: the path on which the call works.
    :param done: called on the loop when the call has ended.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        workers: Workers,
        job: Callable[[], Any],
        about: str,
        done: Callable[[], None],
    ) -> None:
        self._workers = workers
        self._call = Call(job, about)
        self._future: asyncio.Future[Any] = loop.run_in_executor(workers, self._call)
        self._timer: asyncio.TimerHandle | None = None
        if not self._future.done():
            self._timer = loop.call_later(PATIENCE, workers.expire, self._call)
        self._done = done
        self._future.add_done_callback(self._over)

    def _over(self, future: asyncio.Future[Any]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not future.cancelled():
            future.exception()  # marks the exception as retrieved, because the owner may not ask for it
        self._done()

    def done(self) -> bool:
        return self._future.done()

    def result(self) -> Any:
        return self._future.result()

    def leave(self, after: Callable[[], object]) -> None:
        if not self._call.leave(after):
            self._workers.clean(after, self._call.about)
        self._future.cancel()


@cache
def _return_memory() -> None:
    """Let the C library return large pieces of memory to the system when they are freed.

    By default, it keeps these pieces in the heaps of the threads for later use. After a hundred transfers at the same time,
    100 MiB would remain in a process that runs for months.
    """
    with suppress(OSError, AttributeError):  # a C library without mallopt has no such heaps
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _PIECE)


def start(
    loop: asyncio.AbstractEventLoop, job: Callable[[], Any], about: str, done: Callable[[], None], *, spool: bool
) -> Threaded:
    """Start a call in a thread of ``FILES``.

    :param spool: use a thread of ``SPOOL`` instead, for temporary files of linesync.
    """
    _return_memory()
    return Threaded(loop, SPOOL if spool else FILES, job, about, done)


class Waited:
    """A call that runs in a thread of ``FILES``, for a driver without an event loop. The driver checks :meth:`done`.

    :param about: the path on which the call works.
    """

    def __init__(self, job: Callable[[], Any], about: str) -> None:
        self._call = Call(job, about)
        self._future = FILES.submit(self._call)
        with suppress(TimeoutError):
            self._future.exception(_SHORT_CALL)

    def done(self) -> bool:
        return self._future.done()

    def result(self) -> Any:
        return self._future.result()

    def leave(self, after: Callable[[], object]) -> None:
        if not self._call.leave(after):
            FILES.clean(after, self._call.about)
