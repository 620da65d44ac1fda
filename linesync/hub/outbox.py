"""Sends all messages of the hub to its peers, each after the changes that it depends on are stored.

A request changes the model, and its reply reports the change. If the hub ended after the reply but before the change is
stored, the peer would know of a change that the next hub does not know. So a message waits until all rows that were marked
before it are committed. All messages that wait share one commit. Without a store, each message is sent immediately.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Commit", "Outbox"]

Commit: TypeAlias = Callable[[Callable[[], None]], None]
"""Commits all rows that are marked now, and calls the argument after that, in the event loop. Calls are answered in their
order. With nothing to commit and no commit under way, it may call the argument immediately."""


class Outbox:
    """The messages that wait for a commit.

    :param commit: commits the state; None if nothing is stored.
    """

    def __init__(self, commit: Commit | None = None) -> None:
        self._commit = commit
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Callable[[], None]] = []  # bound: call
        self._due = False
        self._closed = False

    def put(self, send: Callable[[], None]) -> None:
        """Send something after everything that has changed so far is stored. Messages leave in the order of their calls."""
        if self._commit is None:
            send()
            return
        if self._closed:
            return
        self._waiting.append(send)
        self.changed()

    def changed(self) -> None:
        """The state has changed: commit it soon."""
        if self._commit is not None and not self._due and not self._closed:
            self._due = True
            self._loop.call_soon(self._flush)

    async def stored(self) -> None:
        """Wait until everything that has changed so far is stored. Nothing is stored any more after :meth:`close`, so the wait
        then ends only with its task."""
        if self._commit is None:
            return
        if self._closed:
            await asyncio.get_running_loop().create_future()
        stored = asyncio.Event()
        self.put(stored.set)
        await stored.wait()

    def _flush(self) -> None:
        self._due = False
        if self._commit is None or self._closed:
            return
        waiting, self._waiting = self._waiting, []

        def leave() -> None:
            for send in waiting:
                send()

        self._commit(leave)

    def close(self) -> None:
        """Say and commit nothing more."""
        self._closed = True
        self._waiting = []
