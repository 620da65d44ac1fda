"""Keeping a peer connected: when its line is opened again, and what the log says about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from linesync.errors import LinesyncError, LinesyncFailed, UsageError
from linesync.runtime.reconnect import keep_connected

from .peers import play


class FakePeer:
    """Notes the loss of its line."""

    def __init__(self) -> None:
        self.lost_why: LinesyncError | None = None
        self.receiver = object()
        self._lost = asyncio.Event()

    async def lost(self) -> None:
        await self._lost.wait()
        self._lost.clear()

    def lose(self, why: LinesyncError | None = None) -> None:
        self.lost_why = why
        self._lost.set()


class Line:
    """A line that can be opened or not, and a task that keeps a peer on it.

    :ivar error: why the line cannot be opened now, None while it can.
    :ivar lives: seconds after which an opened line is lost, None for never.
    :ivar tries: the times at which it was opened or tried, from the start.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.error: LinesyncError | None = None
        self.lives: float | None = None
        self.tries: list[float] = []
        self.said: list[str] = []
        self.peer = FakePeer()
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        patch.setattr("linesync.runtime.reconnect.connect", self._connect)

    async def _connect(self, endpoint: str, receiver: object) -> None:
        assert (endpoint, receiver) == ("/dev/x", self.peer.receiver)
        self.tries.append(round(self._loop.time() - self._start, 3))
        if self.error is not None:
            raise self.error
        if self.lives is not None:
            self._loop.call_later(self.lives, self.peer.lose)

    def keep(self, *, once: bool = False) -> asyncio.Task[None]:
        peer: Any = self.peer
        self.task = self._loop.create_task(keep_connected(peer, "/dev/x", self.said.append, once=once))
        return self.task


Test = Callable[[Line], Coroutine[Any, Any, None]]


@pytest.fixture
def on_line(monkeypatch: pytest.MonkeyPatch) -> Callable[[Test], None]:
    """Run a test on virtual time with a line."""

    def run(test: Test) -> None:
        async def work() -> None:
            await test(Line(monkeypatch))

        play(work)

    return run


def test_the_tries_become_rarer_down_to_one_in_two_seconds(on_line: Callable[[Test], None]) -> None:
    async def test(line: Line) -> None:
        line.error = LinesyncFailed("/dev/x does not exist")
        line.keep()
        await asyncio.sleep(30.0)
        gaps = [round(later - earlier, 3) for earlier, later in zip(line.tries, line.tries[1:], strict=False)]
        assert gaps[:3] == [0.2, 0.32, 0.512] and gaps == sorted(gaps) and set(gaps[7:]) == {2.0}

    on_line(test)


def test_each_new_reason_is_reported_once(on_line: Callable[[Test], None]) -> None:
    async def test(line: Line) -> None:
        line.error = LinesyncFailed("/dev/x does not exist")
        line.keep()
        await asyncio.sleep(10.0)
        line.error = LinesyncFailed("/dev/x is busy")
        await asyncio.sleep(10.0)
        assert line.said == ["/dev/x does not exist (trying again)", "/dev/x is busy (trying again)"]

    on_line(test)


def test_a_line_that_can_be_opened_later_is_reported(on_line: Callable[[Test], None]) -> None:
    async def test(line: Line) -> None:
        line.error = LinesyncFailed("/dev/x does not exist")
        line.keep()
        await asyncio.sleep(3.0)
        line.error = None
        await asyncio.sleep(3.0)
        assert line.said[1:] == ["/dev/x is open again"]
        tries = len(line.tries)
        await asyncio.sleep(100.0)
        assert len(line.tries) == tries, "a working line is not opened again"

    on_line(test)


def test_a_lost_line_is_opened_again_and_the_log_has_the_reason(on_line: Callable[[Test], None]) -> None:
    async def test(line: Line) -> None:
        line.keep()
        await asyncio.sleep(60.0)
        line.peer.lose(LinesyncFailed("the adapter was unplugged"))
        await asyncio.sleep(1.0)
        assert line.said == ["the line /dev/x is lost: the adapter was unplugged (opening it again)"]
        assert line.tries == [0.0, 60.2]

    on_line(test)


def test_a_line_that_is_lost_again_and_again_is_reported_once(on_line: Callable[[Test], None]) -> None:
    async def test(line: Line) -> None:
        line.lives = 1.0
        line.keep()
        await asyncio.sleep(60.0)
        assert len(line.said) == 1 and "the other end closed it" in line.said[0]
        assert 15 < len(line.tries) < 30, "it is opened only after a pause"

    on_line(test)


def test_a_line_that_worked_for_long_is_opened_again_soon_and_its_loss_is_reported(
    on_line: Callable[[Test], None],
) -> None:
    async def test(line: Line) -> None:
        line.lives = 10.0
        line.keep()
        await asyncio.sleep(35.0)
        assert line.tries == [0.0, 10.2, 20.4, 30.6]
        assert len(line.said) == 3

    on_line(test)


def test_a_wrong_endpoint_is_not_tried_again(on_line: Callable[[Test], None]) -> None:
    async def test(line: Line) -> None:
        line.error = UsageError("the endpoint is wrong")
        with pytest.raises(UsageError):
            await line.keep()
        assert line.tries == [0.0] and line.said == []

    on_line(test)


def test_with_once_it_ends_with_the_first_line(on_line: Callable[[Test], None]) -> None:
    async def test(line: Line) -> None:
        line.lives = 7.0
        await line.keep(once=True)
        assert line.tries == [0.0] and line.said == []

    on_line(test)


def test_with_once_it_fails_if_the_line_cannot_be_opened(on_line: Callable[[Test], None]) -> None:
    async def test(line: Line) -> None:
        line.error = LinesyncFailed("/dev/x does not exist")
        with pytest.raises(LinesyncFailed, match="does not exist"):
            await line.keep(once=True)
        assert line.tries == [0.0]

    on_line(test)
