"""Puts the new operation that CONTRIBUTING.md shows as an example into a copy of the sources, and uses it over a line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from linesync.testing.nullmodem import NullModem
from tests.e2e.kit import Site, site

pytestmark = pytest.mark.live
ROOT = Path(__file__).resolve().parents[3]
_PIECE = re.compile(r"<!-- put into (\S+)(?: before `(.*?)`)? -->\n *```python\n(.*?)\n *```\n", re.DOTALL)
_PLACES = 6  # the number of places in the sources that change; the page has a numbered item for each place
_DENYING_HUB = """
import sys
from linesync.hub import hub
from linesync.model.policy import Policy, Rule

class DenyingHub(hub.Hub):
    def __init__(self, **options):
        options.pop("policy")
        super().__init__(**options, policy=Policy((Rule(allow=False, do=("look",), source="sut"),)))

hub.Hub = DenyingHub
from linesync.cli.main import main
sys.exit(main())
"""
_ASYNCIO_SCRIPT = """
import asyncio, sys, linesync

async def main():
    async with await linesync.connect(sys.argv[1]) as client:
        print(await client.greet("asyncio"))

asyncio.run(main())
"""
_BLOCKING_SCRIPT = """
import sys, linesync

with linesync.connect_blocking(sys.argv[1]) as client:
    print(client.greet("blocking"))
"""


@pytest.fixture(scope="module")
def copy_of_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a copy of linesync that has the new operation."""
    folder = tmp_path_factory.mktemp("sources")
    shutil.copytree(ROOT / "linesync", folder / "linesync", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text[text.index("## Adding an operation") : text.index("## Adding a transport")]
    assert re.findall(r"^(\d)\. \*\*", section, re.MULTILINE) == [str(n) for n in range(1, _PLACES + 1)]
    for name, before, piece in _PIECE.findall(section):
        file = folder / name
        code = "\n".join(line[3:] for line in piece.split("\n")) + "\n"
        if not before:
            file.write_text(code)
            continue
        old = file.read_text()
        assert old.count(f"\n{before}") == 1, f"{name} has no line that begins with {before!r}"
        file.write_text(old.replace(f"\n{before}", f"\n{code}{before}", 1))
    return folder


@contextmanager
def running_hub_and_agent(copy_of_sources: Path, *, denying: bool) -> Iterator[Site]:
    """Run a hub and the agent of the host sut from the copy, on a serial line.

    :param denying: the hub does not give the host the operation's permission.
    """
    with ExitStack() as stack:
        place = stack.enter_context(site())
        cable = stack.enter_context(NullModem())
        place.env |= {"PYTHONPATH": str(copy_of_sources), "PYTHONSAFEPATH": "1"}
        args = ["hub", "--socket", str(place.socket("hub")), "--port", cable.a]
        place.daemon(
            "hub", args, [sys.executable, "-c", _DENYING_HUB] if denying else (sys.executable, "-m", "linesync")
        )
        place.agent("--port", cable.b)
        place.await_host()
        yield place


def _run_python(place: Site, program: str) -> str:
    argv = [sys.executable, "-c", program, f"unix:{place.socket('sut')}"]
    return subprocess.run(argv, env=place.env, capture_output=True, text=True, timeout=60, check=True).stdout


def test_the_example_works_from_the_command_line_and_from_both_clients(copy_of_sources: Path) -> None:
    with running_hub_and_agent(copy_of_sources, denying=False) as place:
        done = place.type("sut", "greet", "world")
        assert (done.code, done.err) == (0, "")
        assert re.fullmatch(r"hello world, this is script \d+ on sut, line /dev/pts/\d+.*\n", done.text)
        at_hub = json.loads(place.type("hub", "--json", "greet", "world").out)["greeting"]
        assert re.fullmatch(rf"hello world, this is script \d+ on hub \(uid {os.getuid()}\), line unix:.*", at_hub)
        assert _run_python(place, _ASYNCIO_SCRIPT).startswith("hello asyncio, this is script")
        assert _run_python(place, _BLOCKING_SCRIPT).startswith("hello blocking, this is script")


def test_the_example_is_refused_without_its_permission(copy_of_sources: Path) -> None:
    with running_hub_and_agent(copy_of_sources, denying=True) as place:
        done = place.type("sut", "greet", "world")
        assert done.code == 7 and done.out == b""
        assert re.search(
            r"a script on sut may not look at the state of the hub, because the rule .* denies it", done.err
        )
        assert place.type("sut", "sem", "x", "0").text == "0\n", "other permissions are not affected"
        assert place.type("hub", "greet", "world").code == 0, "other hosts are not affected"
