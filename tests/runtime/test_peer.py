"""A peer on an asyncio loop: a line without a session."""

from __future__ import annotations

from typing import Any

from linesync.runtime.conversation import User
from linesync.runtime.identity import token
from linesync.runtime.peer import Peer
from linesync.testing.memory_lines import Pipe
from linesync.testing.recorder import Recorder

from .peers import pause, play


def listening() -> Peer:
    peer = Peer(User(), "l", token())
    peer.expect_session()
    return peer


def test_the_line_of_a_caller_that_sends_nothing_is_closed() -> None:
    async def test() -> None:
        caller: Any = Recorder("caller")
        Pipe.pair("unix:/s", lambda: caller, listening().receiver)
        await pause(29.0)
        assert not caller.lost
        await pause(2.0)
        assert caller.lost

    play(test)


def test_a_caller_that_has_begun_a_session_may_be_silent() -> None:
    async def test() -> None:
        caller, listener = Peer(User(), "c", token()), listening()
        Pipe.pair("unix:/s", caller.receiver, listener.receiver)
        await pause(300.0)
        assert caller.up and listener.up

    play(test)
