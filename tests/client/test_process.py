"""Commands as objects, in both clients."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import linesync
from linesync.client.aio import Client
from linesync.client.blocking import BlockingClient
from linesync.errors import CommandNotFound, LinesyncFailed, TimedOut, UsageError
from linesync.signals import signal_number
from tests.e2e.kit import Site, commands_of
from tests.real import wait_for


@pytest.fixture
def client(pair: Site) -> Iterator[BlockingClient]:
    with linesync.connect_blocking(f"unix:{pair.socket('hub')}") as connected:
        yield connected


def test_lines_are_read_as_they_arrive_and_the_result_has_the_rest(client: BlockingClient) -> None:
    script = "echo one; echo two; read x; echo got $x; echo oops >&2; printf end; exit 3"
    with client.create_process("sut", ["sh", "-c", script], stdin=True) as process:
        assert [process.stdout.readline(), process.stdout.read(2), process.stdout.readline()] == [
            b"one\n",
            b"tw",
            b"o\n",
        ]
        assert process.result is None
        process.write(b"text\n")
        assert list(process.stdout) == [b"got text\n", b"end"]
        result = process.wait()
        assert (result.status, result.stdout, result.stderr) == (3, b"", b"oops\n")
        assert process.result is not None and process.result.status == 3
        process.kill()  # it has ended, so nothing happens


def test_communicate_writes_more_than_the_channel_holds_and_returns_all_output(client: BlockingClient) -> None:
    data = bytes(range(256)) * 4096
    result = client.create_process("sut", ["cat"], stdin=True).communicate(data)
    assert result.status == 0 and result.stdout == data


def test_signals_are_sent_by_name_or_number(client: BlockingClient) -> None:
    for sent, wanted in (("INT", 2), ("sigusr1", 10), (15, 15)):
        process = client.create_process("sut", ["sh", "-c", "echo; exec sleep 300"])
        process.stdout.readline()
        process.send_signal(sent)
        assert process.wait().signal == wanted
    assert signal_number("9") == signal_number("SIGKILL") == 9
    for wrong in ("NOSUCH", "0", 65, "-9", ""):
        with pytest.raises(UsageError, match="unknown signal"):
            signal_number(wrong)


def test_the_end_of_the_block_ends_the_command(client: BlockingClient, pair: Site) -> None:
    with client.create_process("sut", ["sleep", "300"]) as process:
        with pytest.raises(TimedOut, match="sleep on sut was still running after 0.2 s, and continues"):
            process.wait(timeout=0.2)
        assert process.pid
    with pytest.raises(LinesyncFailed, match=r"ended by close\(\)"):
        process.wait()
    agent = next(daemon for daemon in pair.daemons if "agent" in daemon.argv)
    wait_for(lambda: not commands_of(agent.pid), "the end of the command")


def test_expect_finds_the_first_match_and_what_came_before_it(client: BlockingClient) -> None:
    script = "stty -echo; printf 'Password: '; read p; echo; echo welcome $p; stty size; read x; stty size"
    with client.create_process("sut", ["sh", "-c", script], terminal=(100, 30)) as login:
        assert login.expect("assword: ", timeout=10).before == b"P"
        login.write(b"secret\n")
        found = login.expect([rb"denied", r"(welcome) (\w+)\r\n", "secret"], timeout=10)
        assert (found.index, found.before, found.text) == (1, b"\r\n", b"welcome secret\r\n")
        assert found.groups == (b"welcome", b"secret")
        assert login.expect(r"(\d+) (\d+)", timeout=10).groups == (b"30", b"100")
        with pytest.raises(
            TimedOut, match=r"the output of sh on sut did not match 'nothing' within 0.1 s; its last output"
        ):
            login.expect("nothing", timeout=0.1)
        login.resize(90, 20)
        login.write(b"\n")
        assert login.expect(["20 90"], timeout=10).index == 0
        with pytest.raises(LinesyncFailed, match="sh on sut ended before its output matched 'more' or 'nothing'"):
            login.expect(["more", "nothing"], timeout=10)
        assert login.wait().status == 0


def test_a_failed_start_is_reported_by_every_method_that_waits(client: BlockingClient) -> None:
    process = client.create_process("sut", ["no-such-program"])
    for call in (process.stdout.readline, process.wait, lambda: process.expect("x")):
        with pytest.raises(CommandNotFound, match="no-such-program was not found on sut"):
            call()  # type: ignore[operator]


def test_wrong_arguments_are_refused_and_change_nothing(client: BlockingClient) -> None:
    with client.create_process("sut", ["true"]) as process:
        for call, sentence in (
            (lambda: process.write(b"x"), "true on sut has no stdin"),
            (lambda: process.resize(80, 24), "true on sut has no terminal"),
            (lambda: process.expect("("), "invalid patterns '\\('"),
            (lambda: process.expect([]), "expected at least one"),
        ):
            with pytest.raises(UsageError, match=sentence):
                call()  # type: ignore[no-untyped-call]
        assert process.wait().status == 0
    with pytest.raises(UsageError, match="invalid terminal"):
        client.create_process("sut", ["true"], terminal=(0, 24))


def test_several_tasks_use_one_process(pair: Site) -> None:
    async def both(client: Client) -> None:
        script = "while read x; do echo out $x; echo err $x >&2; done"
        async with client.create_process("sut", ["sh", "-c", script], stdin=True) as process:

            async def feed() -> None:
                for number in range(100):
                    await process.write(f"{number}\n".encode())
                process.write_eof()

            async def lines(output: linesync.client.jobs.process.ProcessOutput) -> list[bytes]:  # type: ignore[name-defined]
                return [line async for line in output]

            out, err, _ = await asyncio.gather(lines(process.stdout), lines(process.stderr), feed())
            assert (await process.wait()).status == 0
        assert out == [b"out %d\n" % n for n in range(100)] and err == [b"err %d\n" % n for n in range(100)]

    async def main() -> None:
        async with await linesync.connect(f"unix:{pair.socket('hub')}") as client:
            await asyncio.wait_for(both(client), 30)

    asyncio.run(main())
