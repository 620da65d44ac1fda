"""A peer whose connection is refused, or closed with a reason."""

from __future__ import annotations

from linesync.errors import LinesyncFailed
from linesync.runtime.identity import token
from linesync.runtime.peer import Peer
from linesync.runtime.refusal import refusal
from linesync.runtime.user import User
from linesync.testing.memory_lines import Pipe
from linesync.testing.recorder import Recorder

from .peers import pause, play


def test_a_connection_that_is_closed_with_a_refusal_is_lost_for_the_reason_in_the_refusal() -> None:
    async def test() -> None:
        caller = Peer(User(), "c", token())
        _, acceptor = Pipe.pair("unix:/s", caller.receiver, lambda: Recorder("listener"))
        acceptor.write(refusal("the hub has no place"))
        acceptor.close()
        await pause()
        assert isinstance(caller.lost_why, LinesyncFailed) and str(caller.lost_why) == "the hub has no place"

    play(test)


def test_a_dismissed_caller_gets_the_reason() -> None:
    async def test() -> None:
        class Ends(User[Peer]):
            reason = ""

            def session_down(self, peer: object, reason: str, restarted: bool) -> None:
                self.reason = reason

        user = Ends()
        caller, listener = Peer(user, "c", token()), Peer(User(), "l", token())
        Pipe.pair("unix:/s", caller.receiver, listener.receiver)
        await pause()
        assert caller.up
        listener.dismiss("it was silent")
        await pause()
        assert user.reason == "it was silent" and not caller.up and caller.line is None

    play(test)
