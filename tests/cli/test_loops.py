"""The event loop of a hub and of an agent."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import pytest

from linesync.cli.processes.daemon import run_until_stopped


def loop_of(*, fast: bool) -> str:
    """The package of the event loop that runs a process's work."""
    found = []

    async def work(stop: asyncio.Event) -> None:
        found.append(type(asyncio.get_running_loop()).__module__.partition(".")[0])

    assert run_until_stopped(work, fast=fast) == 0
    return found[0]


def test_an_agent_uses_the_loop_of_asyncio() -> None:
    assert loop_of(fast=False) == "asyncio"


def test_a_hub_works_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_of(fast=True) == "asyncio"


def test_a_hub_uses_uvloop_if_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loop(asyncio.SelectorEventLoop):
        pass

    class Uvloop:
        new_event_loop: Callable[[], asyncio.AbstractEventLoop] = Loop

    Loop.__module__ = "uvloop.loop"
    monkeypatch.setitem(sys.modules, "uvloop", Uvloop)
    assert loop_of(fast=True) == "uvloop"
