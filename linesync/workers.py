"""Threads for system calls that a path, a disk or another process can delay, so that no event loop waits for them.

1. At most ``limit`` calls run. Calls on paths that share their first two directories have a share of that, so that one
   hung mount does not take all threads; what is over waits for its turn.
2. A call that hangs in the kernel cannot be stopped. Its owner may leave it: the thread then runs what cleans up after
   it when it returns, and counts as used until then.
3. The threads do not keep a process from its end. It waits for cleaning up that is due, but not longer than a second.

The event loop reaches this by its ``run_in_executor``, which a loop on virtual time replaces.
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

PATIENCE = 5.0  # seconds that a call waits for a thread at most
_IDLE = 2.0  # seconds that a thread waits for a call
_LEAVING = 1.0  # seconds that the end of the process waits for cleaning up


class Call:
    """One call that may block.

    :param job: what to do.
    :param about: the path that it is about.
    """

    def __init__(self, job: Callable[[], Any], about: str) -> None:
        self.about = about
        self.group = _group(about)
        self.started = 0.0
        """When a thread took it up, monotonic seconds; 0 before."""
        self.future: Future[Any] = Future()
        self._job = job
        self._lock = threading.Lock()
        self._after: Callable[[], object] | None = None
        self._over = False

    def __call__(self) -> Any:
        """Run it in this thread, unless its owner has left already; then clean up for an owner who has."""
        try:
            return None if self.left else self._job()
        finally:
            with self._lock:
                self._over = True
                after = self._after
            if after is not None:
                _clean(after)

    def leave(self, after: Callable[[], object]) -> bool:
        """The owner has left: run this when the call is over. False if it is over already."""
        with self._lock:
            if not self._over:
                self._after = after
            return not self._over

    def give_up(self) -> None:
        """It will not be run."""
        with self._lock:
            self._over = True

    @property
    def left(self) -> bool:
        return self._after is not None


class Workers:
    """A bounded number of threads, started when they are needed.

    :param limit: calls that run at the same time.
    :param share: those of them on paths that share their first two directories.
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
        """Run a call in one of the threads."""
        with self._changed:
            self._waiting.append(call)
            if len(self._waiting) > self._idle and self._threads < self._limit:
                self._start()
            else:
                self._changed.notify()
        return call.future

    def clean(self, job: Callable[[], object], about: str) -> None:
        """Run what cleans up, before all that waits; nobody waits for it, but for the end of the process."""
        call = Call(lambda: None, about)
        call.leave(job)
        with self._changed:
            self._waiting.appendleft(call)
            if self._threads < self._limit:
                self._start()
            else:
                self._changed.notify()

    def expire(self, call: Call) -> None:
        """A call has waited long enough for a thread; it fails with :class:`Hung` unless it has one."""
        with self._changed:
            if call not in self._waiting:
                return
            self._waiting.remove(call)
            call.give_up()
            same = [one for one in self._running if one.group == call.group]
            same = same if len(same) >= self._share else list(self._running)
            oldest = min(same, key=lambda one: one.started)
            seconds = time.monotonic() - oldest.started
        sentence = (
            f"{len(same)} earlier calls have not returned, the oldest, on {oldest.about}, for {seconds:.0f} s; see what"
            " that disk or mount waits for"
        )
        _settle(call, Hung(0, sentence))

    def busy(self) -> int:
        """How many calls run, those that were left by their owner included."""
        with self._changed:
            return len(self._running)

    def await_cleaning(self, seconds: float) -> None:
        """Wait, blocking, until nothing is left to clean up."""
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
        """The next call that may run; None for a thread that is not needed any more."""
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
            if sum(one.group == call.group for one in self._running) < self._share:
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
    # A future that was cancelled, or whose loop is closed, has nobody who waits for it.
    with suppress(Exception):
        if error is not None:
            call.future.set_exception(error)
        else:
            call.future.set_result(value)


def _clean(job: Callable[[], object]) -> None:
    with suppress(OSError):  # it was there or it was not, and no owner is left to report that to
        job()


def _group(path: str) -> str:
    """The first two directories of a path."""
    return "/".join(os.path.dirname(path).split("/")[:3]) or "/"


FILES = Workers()
"""For files that people name."""
SPOOL = Workers(8)
"""For the hub's own temporary files, which must not wait for those."""


async def run_blocking(job: Callable[[], T], about: str, undo: Callable[[T], object] | None = None) -> T:
    """Run what may block in a thread; for what is ours, such as sockets and ports, and not for files that people name.

    :param about: the path that it is about.
    :param undo: takes back what the job has made, when we are cancelled before it has.
    :raises Hung: no thread was free.
    """
    made: list[T] = []

    def work() -> T:
        made.append(job())
        return made[0]

    def take_back() -> None:
        if made and undo is not None:
            undo(made[0])

    loop = asyncio.get_running_loop()
    call = Call(work, about)
    future = loop.run_in_executor(SPOOL, call)  # an executor as far as a loop looks at it
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
