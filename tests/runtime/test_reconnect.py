"""``keep_connected``: the times at which it opens a line again, and its reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from linesync.errors import LinesyncError, LinesyncFailed, UsageError
from linesync.runtime.reconnect import keep_connected

from .peers import play


class FakeEnd:
    """A receiver whose line the test can lose."""

    def __init__(self) -> None:
        self.lost_why: LinesyncError | None = None
        self._lost = asyncio.Event()

    async def lost(self) -> None:
        await self._lost.wait()
        self._lost.clear()

    def lose(self, why: LinesyncError | None = None) -> None:
        self.lost_why = why
        self._lost.set()


class Line:
    """A simulated line, and a task that keeps it open.

    :ivar error: the error that opening the line raises now; None: it opens.
    :ivar lost_after: the seconds after which an opened line is lost; None: never.
    :ivar attempts: the times of the attempts to open it, from the start.
    :ivar reported: the reported sentences.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.error: LinesyncError | None = None
        self.lost_after: float | None = None
        self.attempts: list[float] = []
        self.reported: list[str] = []
        self.end = FakeEnd()
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        patch.setattr("linesync.runtime.reconnect.connect", self._connect)

    async def _connect(self, endpoint: str, receiver: Callable[[], object]) -> None:
        assert endpoint == "/dev/x"
        self.attempts.append(round(self._loop.time() - self._start, 3))
        if self.error is not None:
            raise self.error
        assert receiver() is self.end
        if self.lost_after is not None:
            self._loop.call_later(self.lost_after, self.end.lose)

    def keep(self) -> asyncio.Task[None]:
        end: Any = self.end
        self.task = self._loop.create_task(keep_connected(lambda: end, "/dev/x", self.reported.append))
        return self.task


Test = Callable[[Line], Coroutine[Any, Any, None]]


@pytest.fixture
def on_line(monkeypatch: pytest.MonkeyPatch) -> Callable[[Test], None]:
    """Returns a function that runs a test on virtual time with a line as its argument."""

    def run(test: Test) -> None:
        async def work() -> None:
            await test(Line(monkeypatch))

        play(work)

    return run


def test_the_pause_between_attempts_grows_to_two_seconds(on_line: Callable[[Test], None]) -> None:
    async def test(line: Line) -> None:
        line.error = LinesyncFailed("/dev/x does not exist")
        line.keep()
        await asyncio.sleep(30.0)
        gaps = [round(later - earlier, 3) for earlier, later in zip(line.attempts, line.attempts[1:], strict=False)]
        assert gaps[:3] == [0.2, 0.32, 0.512] and gaps == sorted(gaps) and set(gaps[7:]) == {2.0}

    on_line(test)


def test_each_new_reason_is_reported_once(on_line: Callable[[Test], None]) -> None:
    async def test(line: Line) -> None:
        line.error = LinesyncFailed("/dev/x does not exist")
        line.keep()
        await asyncio.sleep(10.0)
        line.error = LinesyncFailed("/dev/x is busy")
        await asyncio.sleep(10.0)
        assert line.reported == ["/dev/x does not exist (trying again)", "/dev/x is busy (trying again)"]

    on_line(test)


def test_a_line_that_opens_after_failed_attempts_is_reported(on_line: Callable[[Test], None]) -> None:
    async def test(line: Line) -> None:
        line.error = LinesyncFailed("/dev/x does not exist")
        line.keep()
        await asyncio.sleep(3.0)
        line.error = None
        await asyncio.sleep(3.0)
        assert line.reported[1:] == ["/dev/x is open again"]
        attempts = len(line.attempts)
        await asyncio.sleep(100.0)
        assert len(line.attempts) == attempts, "a working line must not be opened again"

    on_line(test)


def test_a_lost_line_is_opened_again_and_the_log_has_the_reason(on_line: Callable[[Test], None]) -> None:
    async def test(line: Line) -> None:
        line.keep()
        await asyncio.sleep(60.0)
        line.end.lose(LinesyncFailed("the adapter was unplugged"))
        await asyncio.sleep(1.0)
        assert line.reported == ["the line /dev/x is lost: the adapter was unplugged (opening it again)"]
        assert line.attempts == [0.0, 60.2]

    on_line(test)


def test_a_line_that_is_lost_again_and_again_is_reported_once(on_line: Callable[[Test], None]) -> None:
    async def test(line: Line) -> None:
        line.lost_after = 1.0
        line.keep()
        await asyncio.sleep(60.0)
        assert len(line.reported) == 1 and "the other end closed it" in line.reported[0]
        assert 15 < len(line.attempts) < 30, "there must be a pause before each attempt"

    on_line(test)


def test_a_line_that_worked_for_ten_seconds_is_opened_again_soon_and_each_loss_is_reported(
    on_line: Callable[[Test], None],
) -> None:
    async def test(line: Line) -> None:
        line.lost_after = 10.0
        line.keep()
        await asyncio.sleep(35.0)
        assert line.attempts == [0.0, 10.2, 20.4, 30.6]
        assert len(line.reported) == 3

    on_line(test)


def test_a_wrong_endpoint_is_not_tried_again(on_line: Callable[[Test], None]) -> None:
    async def test(line: Line) -> None:
        line.error = UsageError("the endpoint is wrong")
        with pytest.raises(UsageError):
            await line.keep()
        assert line.attempts == [0.0] and line.reported == []

    on_line(test)
