"""No process of a command is left after its client has disconnected, at any moment."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from linesync.jobs.commands.command import serve_run
from linesync.jobs.commands.process import Runner
from linesync.protocol import Run


class _Silent:
    """A channel that delivers nothing and discards everything."""

    async def receive(self) -> object:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, stream: int, data: bytes) -> None: ...
    def send_message(self, text: str) -> None: ...
    def end(self) -> None: ...


def _running(mark: str) -> list[str]:
    """The pids of the processes that have ``mark`` as an argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("turns", range(8))
def test_no_process_is_left_when_the_client_disconnects_while_its_command_starts(turns: int) -> None:
    mark = f"60.0{turns}"

    async def main() -> None:
        request = Run(to="here", argv=("sh", "-c", f"sleep {mark} & wait"))
        runner = Runner("here", print)
        runner.open()
        serving = asyncio.create_task(serve_run(_Silent(), request, runner))  # type: ignore[arg-type]
        for _ in range(turns):
            await asyncio.sleep(0)
        time.sleep(0.05)  # noqa: ASYNC251 - the command continues while this loop is blocked
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        await runner.aclose()

    asyncio.run(main())
    assert _running(mark) == []
