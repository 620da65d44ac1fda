"""Threads for system calls that a path, a disk or another process can delay. An event loop then does not wait for the calls.

1. At most ``limit`` calls run at the same time. At most ``share`` of these are on paths with the same first two directories,
   so that one hung mount does not use all threads. Further calls wait in a queue.
2. A call that hangs in the kernel cannot be stopped, but its owner can leave it. When the call returns, the thread runs the
   owner's cleanup. The thread counts as busy until then.
3. The threads do not prevent a process from ending. The process waits at most one second for pending cleanup.

An event loop starts the calls with its ``run_in_executor``. A loop on virtual time replaces this method.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from .errors import Hung

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    T = TypeVar("T")

__all__ = ["FILES", "PATIENCE", "SPOOL", "Call", "Workers", "run_blocking"]

PATIENCE = 5.0  # the longest time that a call waits for a thread, in seconds
_IDLE = 2.0  # the time after which a thread without a call ends, in seconds
_LEAVING = 1.0  # the longest time that the process waits for cleanup at its end, in seconds


class Call:
    """One call that may block.

    :param job: the function to call.
    :param about: the path that it works on.
    """

    def __init__(self, job: Callable[[], Any], about: str) -> None:
        self.about = about
        self.group = _group(about)
        self.started = 0.0
        """The time at which a thread took it, in monotonic seconds; 0 before."""
        self.future: Future[Any] = Future()
        self._job = job
        self._lock = threading.Lock()
        self._after: Callable[[], object] | None = None
        self._over = False

    def __call__(self) -> Any:
        """Run the job in this thread, unless its owner has already left. Then run the cleanup of an owner that has left."""
        try:
            return None if self.left else self._job()
        finally:
            with self._lock:
                self._over = True
                after = self._after
            if after is not None:
                _clean(after)

    def leave(self, after: Callable[[], object]) -> bool:
        """Leave the call. The thread runs ``after`` when the call is over. Return False if the call is already over."""
        with self._lock:
            if not self._over:
                self._after = after
            return not self._over

    def give_up(self) -> None:
        """Mark the call as over, because it will not run."""
        with self._lock:
            self._over = True

    @property
    def left(self) -> bool:
        return self._after is not None


class Workers:
    """A limited number of threads, which are started when they are needed.

    :param limit: the maximum number of calls that run at the same time.
    :param share: the maximum number of these calls on paths with the same first two directories.
    """

    def __init__(self, limit: int = 32, share: int = 8) -> None:
        self._limit = limit
        self._share = share
        self._changed = threading.Condition()
        self._waiting: deque[Call] = deque()
        self._running: set[Call] = set()
        self._threads = 0
        self._idle = 0
        self._registered = False

    def submit(self, call: Call) -> Future[Any]:
        """Run a call in one of the threads. Return its future."""
        with self._changed:
            self._waiting.append(call)
            if len(self._waiting) > self._idle and self._threads < self._limit:
                self._start()
            else:
                self._changed.notify()
        return call.future

    def clean(self, job: Callable[[], object], about: str) -> None:
        """Run a cleanup before all waiting calls. Only the end of the process waits for the cleanup.

        :param about: the path that it works on.
        """
        call = Call(lambda: None, about)
        call.leave(job)
        with self._changed:
            self._waiting.appendleft(call)
            if self._threads < self._limit:
                self._start()
            else:
                self._changed.notify()

    def expire(self, call: Call) -> None:
        """Fail a call with :class:`Hung` if it still waits for a thread."""
        with self._changed:
            if call not in self._waiting:
                return
            self._waiting.remove(call)
            call.give_up()
            blocking = [running for running in self._running if running.group == call.group]
            blocking = blocking if len(blocking) >= self._share else list(self._running)
            oldest = min(blocking, key=lambda running: running.started)
            seconds = time.monotonic() - oldest.started
        sentence = (
            f"{len(blocking)} earlier calls have not returned, the oldest, on {oldest.about}, for {seconds:.0f} s; find out"
            " why that disk or mount hangs"
        )
        _settle(call, Hung(0, sentence))

    def busy(self) -> int:
        """The number of running calls, including calls that their owner has left."""
        with self._changed:
            return len(self._running)

    def await_cleaning(self, seconds: float) -> None:
        """Block until all cleanup is done, but at most for this time."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while any(call.left for call in (*self._running, *self._waiting)):
                if not self._changed.wait(max(deadline - time.monotonic(), 0.0)):
                    return

    # -- threads ------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if not self._registered:
            self._registered = True
            atexit.register(self.await_cleaning, _LEAVING)
        self._threads += 1
        threading.Thread(target=self._work, name="linesync_worker", daemon=True).start()

    def _work(self) -> None:
        while (call := self._next()) is not None:
            if call.left or call.future.set_running_or_notify_cancel():
                _run(call)
            with self._changed:
                self._running.remove(call)
                self._changed.notify_all()

    def _next(self) -> Call | None:
        """Wait for the next call that may run. None if this thread is not needed any more."""
        with self._changed:
            while (call := self._eligible()) is None:
                self._idle += 1
                in_time = self._changed.wait(_IDLE)
                self._idle -= 1
                if not in_time and self._eligible() is None:
                    self._threads -= 1
                    return None
            self._waiting.remove(call)
            call.started = time.monotonic()
            self._running.add(call)
            return call

    def _eligible(self) -> Call | None:
        for call in self._waiting:
            if sum(running.group == call.group for running in self._running) < self._share:
                return call
        return None


def _run(call: Call) -> None:
    try:
        value = call()
    except BaseException as error:
        _settle(call, error)
    else:
        _settle(call, None, value)


def _settle(call: Call, error: BaseException | None, value: Any = None) -> None:
    # No code waits for a future that was cancelled or whose loop is closed.
    with suppress(Exception):
        if error is not None:
            call.future.set_exception(error)
        else:
            call.future.set_result(value)


def _clean(job: Callable[[], object]) -> None:
    with suppress(OSError):  # the file may no longer exist; the owner has left, so the error cannot be reported
        job()


def _group(path: str) -> str:
    """The first two directories of a path."""
    return "/".join(os.path.dirname(path).split("/")[:3]) or "/"


FILES = Workers()
"""The threads for files that users name."""
SPOOL = Workers(8)
"""The threads for the hub's own temporary files, sockets and ports, which must not wait for the files of users."""


async def run_blocking(job: Callable[[], T], about: str, undo: Callable[[T], object] | None = None) -> T:
    """Run a job that may block in a thread of :data:`SPOOL`, and return its result.

    This is for sockets and ports, not for files that users name.

    :param about: the path that the job works on.
    :param undo: called with the result of the job if the caller is cancelled before the job is done.
    :raises Hung: no thread was free within five seconds.
    """
    results: list[T] = []

    def work() -> T:
        results.append(job())
        return results[0]

    def take_back() -> None:
        if results and undo is not None:
            undo(results[0])

    loop = asyncio.get_running_loop()
    call = Call(work, about)
    future = loop.run_in_executor(SPOOL, call)  # the loop calls only submit() of the executor
    timer = loop.call_later(PATIENCE, SPOOL.expire, call)
    try:
        value: T = await future
    except asyncio.CancelledError:
        if not call.leave(take_back):
            SPOOL.clean(take_back, about)
        raise
    finally:
        timer.cancel()
    return value
