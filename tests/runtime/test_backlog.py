"""A peer that has received more bytes than it can handle in one time slice: order, other peers, and the end of the line.

The tests shorten the slice to one record, because virtual time does not pass while a peer works.
"""

from __future__ import annotations

from typing import Any

import pytest

from linesync.errors import LinesyncError
from linesync.runtime import peer as peer_module
from linesync.runtime.conversation import Conversation
from linesync.runtime.identity import token
from linesync.runtime.peer import Peer
from linesync.runtime.user import User
from linesync.testing.memory_lines import Pipe

from .peers import pause, play

_COUNT = 50


@pytest.fixture(autouse=True)
def short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_module, "_SLICE", 0.0)
    monkeypatch.setattr(peer_module, "_PIECE", 1)


class RecordingUser(User[Peer]):
    """Records requests and the ends of sessions and lines, in order, in a list that several users share.

    :ivar fails: the request on which it raises an error.
    """

    def __init__(self, name: str, log: list[str]) -> None:
        self._name = name
        self._log = log
        self.fails = ""

    def request(self, peer: Conversation, number: str, text: str) -> None:
        if text == self.fails:
            raise ValueError("fails on purpose")
        self._log.append(f"{self._name} {text}")

    def session_down(self, peer: Conversation, reason: str, restarted: bool) -> None:
        self._log.append(f"{self._name} down")

    def line_lost(self, peer: Conversation, error: LinesyncError | None) -> None:
        self._log.append(f"{self._name} lost")


class RecordingPair:
    """A caller and a listener with a session. The listener records what it receives."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.user = RecordingUser(name, log)
        self.caller, self.listener = Peer(User(), "c", token()), Peer(self.user, "l", token())
        self.pipe, self.listener_line = Pipe.pair("unix:/pipe", self.caller.receiver, self.listener.receiver)

    def send(self, count: int = _COUNT) -> None:
        for number in range(count):
            self.caller.note(str(number))


async def connected_pairs(*names: str) -> tuple[list[str], list[RecordingPair]]:
    log: list[str] = []
    pairs = [RecordingPair(name, log) for name in names]
    await pause()
    assert all(pair.listener.up for pair in pairs)
    return log, pairs


def requests(name: str, count: int = _COUNT) -> list[str]:
    return [f"{name} {number}" for number in range(count)]


def test_requests_keep_their_order_over_many_slices() -> None:
    async def test() -> None:
        log, (pair,) = await connected_pairs("a")
        pair.send()
        await pause()
        pair.send()
        await pause()
        assert log == requests("a") * 2

    play(test)


def test_peers_with_a_backlog_are_handled_in_turn_and_a_peer_with_little_work_does_not_wait_for_them() -> None:
    async def test() -> None:
        log, (busy, other, quick) = await connected_pairs("busy", "other", "quick")
        for pair in (busy, other):
            pair.send()
        quick.send(1)
        await pause()
        assert [entry for entry in log if entry.startswith("busy")] == requests("busy")
        assert [entry for entry in log if entry.startswith("other")] == requests("other")
        assert log.index("quick 0") < 10, f"the peer with one request waited for the others: {log}"
        half = log[: len(log) // 2]
        assert abs(sum(entry.startswith("busy") for entry in half) - len(half) / 2) < 5, "the two did not take turns"

    play(test)


def test_reading_pauses_during_a_backlog() -> None:
    async def test() -> None:
        log, (pair,) = await connected_pairs("a")
        line: Any = pair.listener_line
        calls: list[str] = []
        line._pause_reads = lambda: calls.append(f"pause at {len(log)}")
        resume = line._resume_reads

        def resumed() -> None:
            calls.append(f"resume at {len(log)}")
            resume()

        line._resume_reads = resumed
        pair.send()
        await pause()
        assert log == requests("a")
        assert calls[0].startswith("pause at") and calls[-1] == f"resume at {_COUNT}"

    play(test)


def test_requests_that_arrived_before_the_end_of_the_line_are_handled_before_the_end_is_reported() -> None:
    async def test() -> None:
        log, (pair,) = await connected_pairs("a")
        pair.send()
        await pair.caller.aclose("done")
        await pause()
        assert log == [*requests("a"), "a down", "a lost"]
        assert pair.listener.line is None

    play(test)


def test_requests_that_arrived_before_the_line_was_lost_are_handled_before_the_loss_is_reported() -> None:
    async def test() -> None:
        log, (pair,) = await connected_pairs("a")
        pair.send()
        while not log:
            await pause(0.0)
        pair.pipe.abort()
        await pair.listener.lost()
        assert log == [*requests("a"), "a lost"]
        assert pair.listener.up, "the session must not end with its line"

    play(test)


def test_a_peer_that_closes_handles_the_received_requests_first() -> None:
    async def test() -> None:
        log, (pair,) = await connected_pairs("a")
        pair.send()
        while not log:
            await pause(0.0)
        await pair.listener.aclose("done")
        assert log[:_COUNT] == requests("a")

    play(test)


def test_a_session_that_is_resumed_during_a_backlog_loses_and_repeats_nothing() -> None:
    async def test() -> None:
        log, (pair,) = await connected_pairs("a")
        pair.send()
        while len(log) < _COUNT // 2:
            await pause(0.0)
        Pipe.pair("unix:/pipe", pair.caller.receiver, pair.listener.receiver)
        pair.caller.note("the last")
        await pause(1.0)
        assert [entry for entry in log if entry != "a lost"] == [*requests("a"), "a the last"]

    play(test)


def test_an_error_in_a_handler_during_a_backlog_ends_only_the_line_of_its_peer() -> None:
    async def test() -> None:
        log, (pair, other) = await connected_pairs("a", "b")
        pair.user.fails = "20"
        pair.send()
        other.send()
        await pause()
        assert "a lost" in log
        assert [entry for entry in log if entry.startswith("b")] == requests("b")

    with pytest.raises(AssertionError, match="fails on purpose"):
        play(test)
