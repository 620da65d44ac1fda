"""``linesync.connect()``: the documented behaviour for programs that use asyncio."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

import linesync
from linesync.client.aio import Client
from linesync.errors import CommandNotFound, LinesyncFailed, Mismatch, TimedOut
from tests.e2e.kit import Site, alive
from tests.real import wait_for

SIDES = ("hub", "sut")


async def connect(pair: Site, side: str) -> Client:
    return await linesync.connect(f"unix:{pair.socket(side)}")


async def until_waiting(pair: Site, name: str, count: int) -> None:
    await asyncio.to_thread(pair.await_waiting, "barriers", name, count)


@pytest.mark.parametrize("side", SIDES)
def test_one_connection_can_wait_in_several_operations(pair: Site, side: str) -> None:
    async def work() -> None:
        async with await connect(pair, side) as client:
            results = await asyncio.gather(*(client.barrier("many", 5) for _ in range(5)))
            assert sorted(result.position for result in results) == [1, 2, 3, 4, 5]
            assert len({result.generation for result in results}) == 1
            assert results[0].parties == (side,) * 5
            taken = asyncio.ensure_future(client.semaphore(f"sem-{side}", -2))
            assert await client.semaphore(f"sem-{side}", 3) in (1, 3)
            assert await taken == 1

    asyncio.run(work())


@pytest.mark.parametrize("side", SIDES)
def test_a_cancelled_barrier_is_withdrawn(pair: Site, side: str) -> None:
    async def work() -> None:
        async with await connect(pair, side) as client:
            waiting = asyncio.ensure_future(client.barrier(f"cancelled-{side}", 2))
            await until_waiting(pair, f"cancelled-{side}", 1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await until_waiting(pair, f"cancelled-{side}", 0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.semaphore(f"never-{side}", -1)
            assert await client.semaphore(f"never-{side}", 1) == 1, "the cancelled wait must not take the unit"

    asyncio.run(work())


@pytest.mark.parametrize("side", SIDES)
def test_errors_are_exceptions_with_details(pair: Site, side: str) -> None:
    async def work() -> None:
        async with await connect(pair, side) as client:
            with pytest.raises(TimedOut) as timed_out:
                await client.barrier(f"few-{side}", 3, timeout=0.1)
            assert timed_out.value.details["arrived"] == [side] and timed_out.value.details["missing"] == 2
            first = asyncio.ensure_future(client.barrier(f"counts-{side}", 3))
            await until_waiting(pair, f"counts-{side}", 1)
            with pytest.raises(Mismatch):
                await client.barrier(f"counts-{side}", 2)
            first.cancel()
            with pytest.raises(CommandNotFound):
                await client.run("sut", ["no-such-program"])
            with pytest.raises(LinesyncFailed, match="no host nobody"):
                await client.run("nobody", ["true"])

    asyncio.run(work())


@pytest.mark.parametrize("side", SIDES)
def test_output_arrives_while_the_command_runs_and_the_result_has_the_commands_exit_code(
    pair: Site, side: str, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    script = f"echo first; while [ ! -e {go} ]; do sleep 0.05; done; echo second >&2; kill -TERM $$"
    seen: list[tuple[int, bytes]] = []

    def output(number: int, data: bytes) -> None:
        seen.append((number, data))
        go.touch()  # the command continues only now, so its first line arrived while it ran

    async def work() -> None:
        async with await connect(pair, side) as client:
            result = await client.run("sut", ["sh", "-c", script], on_output=output)
            assert (result.status, result.signal, result.exit_code) == (None, 15, 143)
            assert (result.stdout, result.stderr) == (b"", b"")
            kept = await client.run("sut", ["sh", "-c", "cat; echo e >&2; exit 5"], stdin=b"in\n", env={"A": "b"})
            assert (kept.status, kept.exit_code, kept.stdout, kept.stderr) == (5, 5, b"in\n", b"e\n")

    asyncio.run(work())
    assert seen == [(1, b"first\n"), (2, b"second\n")]


def test_several_commands_run_concurrently_on_one_line(pair: Site) -> None:
    async def work() -> None:
        async with await connect(pair, "hub") as client:
            jobs = [
                client.run("sut", [sys.executable, "-c", f"print('{n}' * 50000); raise SystemExit({n})"])
                for n in range(8)
            ]
            for number, result in enumerate(await asyncio.gather(*jobs)):
                assert result.status == number
                assert result.stdout == str(number).encode() * 50000 + b"\n"

    asyncio.run(work())


def test_a_cancelled_run_ends_its_command(pair: Site, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    async def work() -> None:
        async with await connect(pair, "sut") as client:
            running = asyncio.ensure_future(client.run("hub", ["sh", "-c", f"echo $$ > {pid_file}; exec sleep 100"]))
            await asyncio.to_thread(wait_for, lambda: pid_file.exists() and pid_file.read_text(), "the command")
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            pid = int(pid_file.read_text())
            await asyncio.to_thread(wait_for, lambda: not alive(pid), "its end")

    asyncio.run(work())


def resident(pid: int) -> int:
    """The resident memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_hub_and_the_agent_do_not_keep_twenty_megabytes_of_output_in_memory(pair: Site) -> None:
    size = 20_000_000
    got = [0]

    def output(number: int, data: bytes) -> None:
        got[0] += len(data)

    async def work() -> None:
        async with await connect(pair, "hub") as client:
            await client.run("sut", ["head", "-c", str(size // 10), "/dev/zero"], on_output=output)
            before = [resident(daemon.pid) for daemon in pair.daemons]
            result = await client.run("sut", ["head", "-c", str(size), "/dev/zero"], on_output=output)
            assert result.exit_code == 0
            grown = [resident(daemon.pid) - old for daemon, old in zip(pair.daemons, before, strict=True)]
            assert max(grown) < size / 2, grown

    asyncio.run(work())
    assert got[0] == size + size // 10


def test_an_unread_channel_does_not_block_other_channels(pair: Site) -> None:
    async def work() -> None:
        async with await connect(pair, "hub") as client:
            unread = client.start("sut", ["sh", "-c", "yes"])
            await asyncio.sleep(0.3)  # until the channel's credit is used up
            for _ in range(5):
                result = await client.run("sut", ["echo", "through"])
                assert result.stdout == b"through\n"
            assert (await client.barrier("unread", 1)).position == 1
            unread.reset("seen enough")

    asyncio.run(work())


def test_files_are_copied_in_both_directions(pair: Site, tmp_path: Path) -> None:
    source, on_host, copied_back, fifo = (tmp_path / name for name in ("source", "there", "back", "fifo"))
    source.write_bytes(os.urandom(3_000_000))
    os.mkfifo(fifo)

    async def work() -> None:
        async with await connect(pair, "hub") as client:
            assert await client.put_file(str(source), "sut", str(on_host)) == 3_000_000
            assert await client.get_file("sut", str(on_host), str(copied_back)) == 3_000_000
            copying = asyncio.ensure_future(client.get_file("sut", str(fifo), str(tmp_path / "read")))
            with pytest.raises(LinesyncFailed, match="not a regular file"):
                await copying

    asyncio.run(work())
    assert source.read_bytes() == on_host.read_bytes() == copied_back.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "fifo", "source", "there"]


def test_a_client_that_closes_withdraws_its_waits_and_they_raise_an_error(pair: Site) -> None:
    async def work() -> None:
        client = await connect(pair, "sut")
        waiting = asyncio.ensure_future(client.barrier("left", 2))
        await until_waiting(pair, "left", 1)
        await client.aclose()
        with pytest.raises(LinesyncFailed):
            await waiting
        with pytest.raises(LinesyncFailed):
            await client.hosts()
        await until_waiting(pair, "left", 0)

    asyncio.run(work())


def test_connecting_to_a_missing_socket_fails(tmp_path: Path) -> None:
    with pytest.raises(LinesyncFailed, match="no socket"):
        asyncio.run(linesync.connect(f"unix:{tmp_path}/none"))
