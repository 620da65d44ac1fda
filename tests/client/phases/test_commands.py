"""The commands of the services of a file: their results, their variables, and the end of all their processes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from linesync.client.phases.commands import local_services
from linesync.client.phases.service import AGAIN, Round
from linesync.errors import CommandNotFound, LinesyncFailed
from linesync.jobs.process import Runner
from linesync.model.groups.declarations_file import read_services
from tests.e2e.kit import alive

ROUND = Round("storage", "7@hub", "b", ("a", "b", "c"), joined=("c",), left=(("d", "lost"),), carried=("a", "b"))


class Out:
    """Records the output of the commands: (service, stream) to bytes."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, int], bytes] = {}

    def __call__(self, service: str, number: int, data: bytes) -> None:
        self.found[service, number] = self.found.get((service, number), b"") + data


def play(text: str, step: str, check: Callable[[Awaitable[object], Out], Awaitable[None]]) -> None:
    """Run a step of the service ``a`` of a file."""

    async def main() -> None:
        runner, out = Runner("b", print), Out()
        try:
            (service,) = local_services(read_services(text, "file.toml"), runner, out)
            await check(service.steps[step](ROUND), out)
        finally:
            await runner.aclose()

    asyncio.run(main())


def test_a_command_gets_the_round_in_variables_and_its_output_is_forwarded() -> None:
    names = "GROUP RING MEMBER MEMBERS JOINED LEFT CARRIED INDEX SERVICE STEP HOST"
    script = "; ".join(f'echo "$LINESYNC_{name}"' for name in names.split())

    async def check(step: Awaitable[object], out: Out) -> None:
        assert await step is None
        lines = out.found["a", 1].decode().splitlines()
        assert lines == ["storage", "7@hub", "b", "a b c", "c", "d", "a b", "1", "a", "init", "b"]

    play(f"[service.a]\ninit = '{script}'", "init", check)


@pytest.mark.parametrize(("step", "result"), [("process", AGAIN), ("activate", None)])
def test_exit_code_75_of_process_requests_another_call(step: str, result: str | None) -> None:
    async def check(ran: Awaitable[object], out: Out) -> None:
        if result is None:
            with pytest.raises(LinesyncFailed, match="exited with code 75"):
                await ran
        else:
            assert await ran == result

    play(f"[service.a]\n{step} = 'exit 75'", step, check)


def test_the_error_of_a_failed_command_has_its_exit_code_and_its_last_stderr_line() -> None:
    async def check(step: Awaitable[object], out: Out) -> None:
        with pytest.raises(LinesyncFailed) as caught:
            await step
        shown = "the command '/bin/sh -c echo one >&2; echo two >&2; exit 3' exited with code 3: two"
        assert caught.value.message == shown
        assert out.found["a", 2] == b"one\ntwo\n"

    play("[service.a]\nprocess = 'echo one >&2; echo two >&2; exit 3'", "process", check)


def test_a_command_killed_by_a_signal_and_a_missing_command_are_errors() -> None:
    async def killed(step: Awaitable[object], out: Out) -> None:
        with pytest.raises(LinesyncFailed, match="was killed by signal 9$"):
            await step

    async def missing(step: Awaitable[object], out: Out) -> None:
        with pytest.raises(CommandNotFound, match="no-such-program was not found on b"):
            await step

    play("[service.a]\nprocess = 'kill -9 $$'", "process", killed)
    play("[service.a]\nprocess = ['no-such-program']", "process", missing)


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    return tmp_path / "pids"


def started(pids: Path, count: int) -> list[int]:
    """The pids in a file; empty until the file has this number of pids."""
    words = pids.read_text().split() if pids.exists() else []
    return list(map(int, words)) if len(words) == count else []


def test_cancellation_ends_a_command_and_all_its_processes(pids: Path) -> None:
    async def check(step: Awaitable[object], out: Out) -> None:
        running = asyncio.ensure_future(step)
        while not started(pids, 2):
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not any(map(alive, started(pids, 2)))

    script = f"setsid sleep 60 & echo $! >> {pids}; echo $$ >> {pids}; wait"
    play(f"[service.a]\nprocess = '{script}'", "process", check)


def test_the_end_of_a_command_ends_its_background_processes(pids: Path) -> None:
    async def check(step: Awaitable[object], out: Out) -> None:
        await step
        assert not any(map(alive, started(pids, 1)))

    play(f"[service.a]\nprocess = 'setsid sleep 60 & echo $! >> {pids}'", "process", check)
