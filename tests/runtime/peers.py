"""Two peers that are connected by a pipe without faults, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from linesync.runtime.channels.streams import Stream
from linesync.runtime.conversation import Conversation
from linesync.runtime.identity import token
from linesync.runtime.peer import Peer
from linesync.runtime.user import User
from linesync.testing.memory_lines import Pipe
from linesync.testing.virtual_loop import VirtualLoop


class Opened(User[Peer]):
    """Collects the channels that the other end opens."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []

    def channel(self, peer: Conversation, stream: Stream) -> None:
        self.streams.append(stream)


class Pair:
    """A caller and a listener with a session.

    :ivar pipe: the caller's end of the line.
    """

    def __init__(self) -> None:
        self.opened = Opened()
        self.caller, self.listener = Peer(User(), "c", token()), Peer(self.opened, "l", token())
        self.pipe, _ = Pipe.pair("unix:/pipe", self.caller.receiver, self.listener.receiver)

    @classmethod
    async def joined(cls) -> Pair:
        pair = cls()
        await pair.caller.ready()
        await pair.listener.ready()
        return pair

    async def channel(self, words: str = "test") -> tuple[Stream, Stream]:
        """A new channel: the caller's end and the listener's end."""
        near = self.caller.open(words)
        while not self.opened.streams:
            await pause()
        return near, self.opened.streams.pop()


async def pause(seconds: float = 0.1) -> None:
    """Let time pass. In the default time, all sent data arrives."""
    await asyncio.sleep(seconds)


async def stubborn(seconds: float) -> None:
    """A job that runs for some seconds and ignores its cancellation."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(until - loop.time())


def play(work: Callable[[], Coroutine[Any, Any, None]], limit: float = 3600.0) -> None:
    """Run a coroutine on virtual time, and return its result.

    :param limit: the most seconds of virtual time that the coroutine may take.
    :raises AssertionError: the coroutine takes longer, or an error was reported to the loop's exception handler.
    """
    loop = VirtualLoop()
    failures: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))
    try:
        task = loop.create_task(work())
        assert loop.run_until(task.done, loop.time() + limit), f"it is not done after {limit:g} s: {task}"
        task.result()
    finally:
        for left in asyncio.all_tasks(loop):
            left.cancel()
        loop.run_until(None, loop.time())
        loop.close()
    assert not failures, failures
