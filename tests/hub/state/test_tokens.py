"""Fencing tokens grow from one start of a hub to the next, even if its clock is set back."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from linesync.errors import LinesyncFailed
from linesync.hub.state.tokens import Tokens
from linesync.model.participants import Client
from linesync.model.sync.lock import TOKENS_SPARE
from linesync.model.sync.services import SyncServices
from linesync.store.tokens import BLOCK
from tests.runtime.peers import pause, play


class Clock:
    """The wall clock in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_764_000_000.0
        monkeypatch.setattr(time, "time", lambda: self.now)


class Log(list[str]):
    """Collects reports."""

    def __call__(self, sentence: str, *, peer: str = "", burst: int = 0) -> None:
        self.append(sentence)


def start_tokens(path: Path, log: Log) -> Tokens:
    """The tokens of a hub that starts."""
    tokens = Tokens(str(path))
    play(lambda: tokens.begin(log))
    return tokens


def test_a_hub_gives_larger_tokens_after_its_clock_was_an_hour_fast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    clock.now += 3600.0
    fast = start_tokens(tmp_path / "tokens", Log())
    assert fast.first == clock.now * 1000
    clock.now -= 3600.0
    log = Log()
    later = start_tokens(tmp_path / "tokens", log)
    assert fast.last is not None and later.first >= fast.last and not log


def test_a_file_that_cannot_be_written_is_reported_and_the_clock_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    monkeypatch.setattr("linesync.store.tokens._write", _full)
    log = Log()
    tokens = start_tokens(tmp_path / "tokens", log)
    assert tokens.first == clock.now * 1000 and tokens.last is None
    (sentence,) = log
    assert "cannot save the fencing tokens in" in sentence and "may give lower tokens" in sentence


def _full(path: str, end: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_hub_does_not_start_with_a_file_that_is_not_valid(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("?")
    with pytest.raises(LinesyncFailed, match="does not contain the fencing tokens of a hub"):
        start_tokens(tmp_path / "tokens", Log())


class Hub:
    """The locks of a hub that uses its tokens fast."""

    def __init__(self, tokens: Tokens) -> None:
        self.services = SyncServices(first_token=tokens.first)
        self.locks = self.services.locks
        self._count = 0

    def take(self) -> Any:
        self._count += 1
        (outcome,) = self.locks.take(f"a{self._count}", "default", f"n{self._count}", Client("hub", "1"), 0.0)
        return outcome

    def use(self, count: int) -> None:
        self.locks._next += count


def test_more_tokens_are_reserved_when_half_of_them_are_used(tmp_path: Path) -> None:
    tokens = start_tokens(tmp_path / "tokens", Log())
    first = tokens.first

    async def test() -> None:
        hub = Hub(tokens)
        keeping = asyncio.ensure_future(tokens.keep(hub.locks, Log()))
        await pause(10.0)
        assert hub.locks.last_token == first + BLOCK and hub.take().value.token == first
        hub.use(BLOCK // 2)
        await pause(3.0)
        assert hub.locks.last_token == first + 2 * BLOCK and hub.take().value.token == first + BLOCK
        keeping.cancel()

    play(test)


def test_no_lock_is_taken_when_the_saved_tokens_are_used_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = start_tokens(tmp_path / "tokens", Log())
    log = Log()

    async def test() -> None:
        hub = Hub(tokens)
        keeping = asyncio.ensure_future(tokens.keep(hub.locks, log))
        await pause(1.0)
        with monkeypatch.context() as patched:
            patched.setattr("linesync.store.tokens._write", _full)
            hub.use(BLOCK - TOKENS_SPARE)
            assert hub.take().value.token == tokens.first + BLOCK - TOKENS_SPARE
            await pause(5.0)
            assert "the hub has no fencing token left that it has saved; see its log" in hub.take().error.message
            assert "No space left on device; when the reserved tokens are used up" in log[0]
        await pause(5.0)
        assert hub.take().value.token == tokens.first
        keeping.cancel()

    play(test)
