"""A peer that receives more than it can handle in a slice: order, other peers, and the end of the line.

The tests shorten the slice to one record. On virtual time, a slice never ends by the clock.
"""

from __future__ import annotations

from typing import Any

import pytest

from linesync.errors import LinesyncError
from linesync.runtime import peer as driver
from linesync.runtime.conversation import Conversation, User
from linesync.runtime.identity import token
from linesync.runtime.peer import Peer
from linesync.testing.memory_lines import Pipe

from .peers import pause, play

_MANY = 50


@pytest.fixture(autouse=True)
def short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_SLICE", 0.0)
    monkeypatch.setattr(driver, "_PIECE", 1)


class Log(User):
    """Notes what happens, in order, in a list that several users share."""

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


class Joined:
    """A caller and a listener with a session; the listener notes what happens."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.user = Log(name, log)
        self.caller, self.listener = Peer(User(), "c", token()), Peer(self.user, "l", token())
        self.pipe, self.other = Pipe.pair("unix:/pipe", self.caller.receiver, self.listener.receiver)

    def send(self, count: int = _MANY) -> None:
        for number in range(count):
            self.caller.note(str(number))


async def joined(*names: str) -> tuple[list[str], list[Joined]]:
    log: list[str] = []
    pairs = [Joined(name, log) for name in names]
    await pause()
    assert all(pair.listener.up for pair in pairs)
    return log, pairs


def requests(name: str, count: int = _MANY) -> list[str]:
    return [f"{name} {number}" for number in range(count)]


def test_requests_keep_their_order_over_many_slices() -> None:
    async def test() -> None:
        log, (pair,) = await joined("a")
        pair.send()
        await pause()
        pair.send()
        await pause()
        assert log == requests("a") * 2

    play(test)


def test_peers_with_a_backlog_take_turns_and_one_with_little_work_is_handled_first() -> None:
    async def test() -> None:
        log, (busy, other, quick) = await joined("busy", "other", "quick")
        for pair in (busy, other):
            pair.send()
        quick.send(1)
        await pause()
        assert [entry for entry in log if entry.startswith("busy")] == requests("busy")
        assert [entry for entry in log if entry.startswith("other")] == requests("other")
        assert log.index("quick 0") < 10, f"it waited for the others: {log}"
        half = log[: len(log) // 2]
        assert abs(sum(entry.startswith("busy") for entry in half) - len(half) / 2) < 5, "one went before the other"

    play(test)


def test_reading_pauses_during_a_backlog() -> None:
    async def test() -> None:
        log, (pair,) = await joined("a")
        line: Any = pair.other
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
        assert calls[0].startswith("pause at") and calls[-1] == f"resume at {_MANY}"

    play(test)


def test_what_came_before_the_end_of_the_line_is_handled_before_the_end() -> None:
    async def test() -> None:
        log, (pair,) = await joined("a")
        pair.send()
        await pair.caller.aclose("done")
        await pause()
        assert log == [*requests("a"), "a down", "a lost"]
        assert pair.listener.line is None

    play(test)


def test_what_came_before_a_cut_is_handled_before_the_loss_is_reported() -> None:
    async def test() -> None:
        log, (pair,) = await joined("a")
        pair.send()
        while not log:
            await pause(0.0)
        pair.pipe.abort()
        await pair.listener.lost()
        assert log == [*requests("a"), "a lost"]
        assert pair.listener.up, "the session survives its line"

    play(test)


def test_our_own_goodbye_waits_for_what_was_received() -> None:
    async def test() -> None:
        log, (pair,) = await joined("a")
        pair.send()
        while not log:
            await pause(0.0)
        await pair.listener.aclose("done")
        assert log[:_MANY] == requests("a")

    play(test)


def test_a_session_that_is_resumed_during_a_backlog_loses_and_repeats_nothing() -> None:
    async def test() -> None:
        log, (pair,) = await joined("a")
        pair.send()
        while len(log) < _MANY // 2:
            await pause(0.0)
        Pipe.pair("unix:/pipe", pair.caller.receiver, pair.listener.receiver)
        pair.caller.note("the last")
        await pause(1.0)
        assert [entry for entry in log if entry != "a lost"] == [*requests("a"), "a the last"]

    play(test)


def test_an_error_in_a_handler_during_a_backlog_ends_the_line_and_no_other() -> None:
    async def test() -> None:
        log, (pair, other) = await joined("a", "b")
        pair.user.fails = "20"
        pair.send()
        other.send()
        await pause()
        assert "a lost" in log
        assert [entry for entry in log if entry.startswith("b")] == requests("b")

    with pytest.raises(AssertionError, match="fails on purpose"):
        play(test)
