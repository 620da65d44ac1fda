"""If a peer does not read its replies, the listener does not handle more requests of the peer, so its memory stays small."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from linesync import limits
from linesync.errors import Unanswered
from linesync.runtime.conversation import Conversation
from linesync.runtime.identity import token
from linesync.runtime.peer import Peer
from linesync.runtime.user import User
from linesync.testing.memory_lines import Pipe

from .peers import pause, play

LONG = "ok " + "x" * 200_000


class Answering(User[Peer]):
    """Answers each request with a long reply.

    :ivar handled: the handled requests, in order.
    :ivar must_wait: requests must wait.
    """

    def __init__(self) -> None:
        self.handled: list[str] = []
        self.must_wait = False

    def request(self, peer: Conversation, number: str, text: str) -> None:
        self.handled.append(text)
        if number != "-":
            peer.answer(number, LONG)

    def holds_back(self, peer: Conversation) -> bool:
        return self.must_wait


class AnsweringPair:
    """A caller, and a listener that answers."""

    def __init__(self) -> None:
        self.user = Answering()
        self.caller, self.listener = Peer(User(), "c", token()), Peer(self.user, "l", token())
        self.pipe, self.other = Pipe.pair("unix:/pipe", self.caller.receiver, self.listener.receiver)

    async def ready(self) -> None:
        await self.caller.ready()
        await self.listener.ready()

    def queued(self) -> int:
        """The bytes of replies that wait in the listener."""
        assert self.listener.link is not None and self.listener.link.session is not None
        return self.listener.link.session.mux.queued(0)


def test_requests_wait_while_their_peer_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        pair = AnsweringPair()
        await pair.ready()
        assert pair.listener.link is not None and pair.listener.link.session is not None
        mux = pair.listener.link.session.mux
        with monkeypatch.context() as patch:
            patch.setattr(mux, "next_payload", lambda lane, room: b"")  # the listener sends nothing
            patch.setattr(mux, "wants", lambda lane: False)
            asked = [pair.caller.ask(f"read {n}")[1] for n in range(1000)]
            pair.caller.note("last")
            await pause(1.0)
            assert 0 < len(pair.user.handled) < 10, "requests were handled although replies wait"
            assert pair.queued() < 10 * len(LONG)
        pair.listener.kick()
        for pending in asked:
            assert await pair.caller.reply_to(pending) == LONG
        await pause()
        assert pair.user.handled == [*(f"read {n}" for n in range(1000)), "last"], "the order changed"

    play(test)


def test_a_user_can_let_requests_wait() -> None:
    async def test() -> None:
        pair = AnsweringPair()
        await pair.ready()
        pair.user.must_wait = True
        pending = pair.caller.ask("read")[1]
        pair.caller.note("note")
        await pause(1.0)
        assert pair.user.handled == []
        pair.user.must_wait = False
        pair.listener.take_requests()
        await pair.caller.reply_to(pending)
        await pause()
        assert pair.user.handled == ["read", "note"]

    play(test)


def test_a_peer_whose_requests_must_wait_still_receives_replies() -> None:
    async def test() -> None:
        pair = AnsweringPair()
        await pair.ready()
        pair.user.must_wait = True
        pair.caller.user = Answering()
        pair.caller.ask("read")
        assert await pair.listener.reply_to(pair.listener.ask("activity")[1]) == LONG

    play(test)


def test_a_session_ends_when_too_many_replies_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REPLIES_MAX", 10 * len(LONG))

    async def test() -> None:
        pair = AnsweringPair()
        await pair.ready()
        waiting: list[str] = []
        request: Any = lambda peer, number, text: waiting.append(number)  # noqa: E731
        monkeypatch.setattr(pair.user, "request", request)
        asked = [pair.caller.ask("wait")[1] for _ in range(20)]
        await pause()
        for number in waiting:  # all of them are answered at the same moment
            pair.listener.answer(number, LONG)
        with pytest.raises(Unanswered, match="replies were not read"):
            await asyncio.wait_for(pair.caller.reply_to(asked[-1]), 60.0)

    play(test)


def test_waiting_requests_can_be_refused_and_the_others_keep_their_order() -> None:
    async def test() -> None:
        pair = AnsweringPair()
        await pair.ready()
        pair.user.must_wait = True
        asked = [pair.caller.ask(f"read {n}", suffix=str(n % 2))[1] for n in range(6)]
        pair.caller.note("note")
        await pause(1.0)
        for number in pair.listener.drop_requests(lambda number: number.endswith(".1")):
            pair.listener.answer(number, "err failed gone")
        pair.user.must_wait = False
        pair.listener.take_requests()
        replies = [await pair.caller.reply_to(pending) for pending in asked]
        await pause()
        assert replies == [LONG, "err failed gone"] * 3
        assert pair.user.handled == ["read 0", "read 2", "read 4", "note"]

    play(test)
