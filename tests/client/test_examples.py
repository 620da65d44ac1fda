"""Runs the examples in the docstrings of the clients, and checks the results of commands, with both clients."""

from __future__ import annotations

import asyncio
import inspect
import re
import textwrap
from typing import Any

import pytest

import linesync
from linesync.client.operations import Operations
from linesync.errors import CommandFailed, TimedOut
from tests.e2e.kit import Site

EXAMPLES = {
    name: textwrap.dedent(found.group(1))
    for name, method in inspect.getmembers(Operations, inspect.isfunction)
    if (found := re.search(r"^::\n\n((?:    .*\n|\n)+)", inspect.getdoc(method) or "", re.MULTILINE))
}
PRINTED = re.compile(r"print\(.*\)  # (.*)")


def run_example(place: Site, text: str, name: str, *, asynchronous: bool) -> None:
    endpoint = f"unix:{place.socket('hub')}"
    space: dict[str, Any] = {"linesync": linesync}
    if not asynchronous:
        text = text.replace("await ", "").replace("async with", "with")
    word = "async def" if asynchronous else "def"
    exec(compile(f"{word} example(client):\n{textwrap.indent(text, '    ')}", name, "exec"), space)

    async def run() -> None:
        async with await linesync.connect(endpoint) as client:
            await client.reset()
            await space["example"](client)

    if asynchronous:
        asyncio.run(run())
        return
    with linesync.connect_blocking(endpoint) as client:
        client.reset()
        space["example"](client)


def test_there_are_examples() -> None:
    assert {"run", "start", "send", "locked", "exchange"} <= EXAMPLES.keys()


@pytest.mark.parametrize("asynchronous", [True, False], ids=["asyncio", "blocking"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_its_comments_say(
    pair: Site, capsys: pytest.CaptureFixture[str], name: str, asynchronous: bool
) -> None:
    run_example(pair, EXAMPLES[name], name, asynchronous=asynchronous)
    assert capsys.readouterr().out.splitlines() == PRINTED.findall(EXAMPLES[name])


def test_a_command_that_fails_is_an_error_with_its_exit_code_and_output(pair: Site) -> None:
    with linesync.connect_blocking(f"unix:{pair.socket('hub')}") as client:
        with pytest.raises(CommandFailed, match="sh on sut ended with exit status 3") as failed:
            client.run("sut", ["sh", "-c", "echo out; echo err >&2; exit 3"], check=True)
        assert (failed.value.exit_code, failed.value.stdout, failed.value.stderr) == (3, b"out\n", b"err\n")
        with pytest.raises(CommandFailed, match="ended with signal 9") as killed:
            client.run("sut", ["sh", "-c", "kill -9 $$"], check=True)
        assert (killed.value.exit_code, killed.value.signal) == (137, 9)
        pieces: list[tuple[int, bytes]] = []
        with pytest.raises(TimedOut) as late:
            client.run(
                "sut",
                ["sh", "-c", "echo out; echo err >&2; exec sleep 99"],
                timeout=0.3,
                on_output=lambda *piece: pieces.append(piece),
            )
        assert (late.value.stdout, late.value.stderr) == (b"", b"") and sorted(pieces) == [(1, b"out\n"), (2, b"err\n")]
