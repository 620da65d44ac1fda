"""Sends the messages of the hub to its peers. Each message leaves only after the changes on which it depends are stored.

A request changes the model, and its reply reports the change. If the hub ended after the reply and before the change is
stored, the peer would know of a change that the next hub does not know. A message therefore waits until all rows that were
marked before it are committed. One commit serves all waiting messages. Without a store, each message is sent immediately.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Commit", "Outbox"]

Commit: TypeAlias = Callable[[Callable[[], None]], None]
"""Commits all rows that are marked now, and then calls the argument in the event loop. Several calls keep their order. If
there is nothing to commit and no commit is running, it may call the argument immediately."""


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
        """Send a message after all changes so far are stored. Messages leave in the order of the calls.

        :param send: sends the message.
        """
        if self._commit is None:
            send()
            return
        if self._closed:
            return
        self._waiting.append(send)
        self.changed()

    def changed(self) -> None:
        """Commit the state soon, because it has changed."""
        if self._commit is not None and not self._due and not self._closed:
            self._due = True
            self._loop.call_soon(self._flush)

    async def stored(self) -> None:
        """Wait until all changes so far are stored. After :meth:`close`, no change is stored any more, so the wait ends only with
        its task."""
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
        """Send no more messages, and commit no more changes."""
        self._closed = True
        self._waiting = []
