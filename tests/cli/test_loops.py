"""Which event loop a hub runs on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import pytest

from linesync.cli.processes.daemon import run_until_stopped


def loop_of(*, fast: bool) -> str:
    """The package of the loop that a process's work finds itself on."""
    found = []

    async def work(stop: asyncio.Event) -> None:
        found.append(type(asyncio.get_running_loop()).__module__.partition(".")[0])

    assert run_until_stopped(work, fast=fast) == 0
    return found[0]


def test_an_agent_runs_on_asyncio_s_own_loop() -> None:
    assert loop_of(fast=False) == "asyncio"


def test_a_hub_does_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_of(fast=True) == "asyncio"


def test_a_hub_takes_uvloop_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loop(asyncio.SelectorEventLoop):
        pass

    class Uvloop:
        new_event_loop: Callable[[], asyncio.AbstractEventLoop] = Loop

    Loop.__module__ = "uvloop.loop"
    monkeypatch.setitem(sys.modules, "uvloop", Uvloop)
    assert loop_of(fast=True) == "uvloop"
