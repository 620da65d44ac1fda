"""Requests for detached processes on virtual time: each process starts once, and clients continue after the hub was killed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from linesync.errors import LinesyncFailed
from linesync.jobs.detached.processes import DetachedProcesses

from .restarts.test_run_resume import SIDES, Make, nothing_is_left, settled

START = 0.3  # seconds until a process has started


@pytest.fixture
def started() -> Iterator[list[tuple[str, ...]]]:
    """The commands of the processes that were started."""
    found: list[tuple[str, ...]] = []

    async def start(self: DetachedProcesses, argv: Any, **options: object) -> tuple[int, int]:
        found.append(tuple(argv))
        await asyncio.sleep(START)
        return len(found), 1000

    with patch.object(DetachedProcesses, "start", start):
        yield found


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("wait", [0.02 * step for step in range(25)])
def test_a_process_starts_once_whenever_the_hub_is_killed(
    make: Make, started: list[tuple[str, ...]], wait: float, side: str
) -> None:
    world = settled(make, byte_rate=115200.0)
    starting = world.start(world.client(side).start_detached("b", ["make", "all"]))
    world.pass_time(wait)
    world.kill_hub(away=0.5)
    world.settle(starting.done, 30.0)
    assert starting.result() == "b/1"
    assert started == [("make", "all")]
    nothing_is_left(world)


@pytest.mark.parametrize("wait", [0.05, 0.15, 0.25, 0.4, 0.5])
def test_after_the_agent_was_killed_the_error_says_whether_the_process_may_have_started(
    make: Make, started: list[tuple[str, ...]], wait: float
) -> None:
    world = settled(make, byte_rate=115200.0)
    starting = world.start(world.client().start_detached("b", ["make", "all"]))
    world.pass_time(wait)
    world.kill_agent("b")
    world.agent("b")
    world.settle(starting.done, 60.0)
    if wait < START:
        with pytest.raises(
            LinesyncFailed, match="the process may have been started, so look with 'linesync proc ls b'"
        ):
            starting.result()
    else:
        assert starting.result() == "b/1"
    assert len(started) == 1
