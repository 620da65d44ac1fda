"""Three hosts for the tests of exchanges, and programs that take part in exchanges."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from linesync import connect_blocking
from tests.e2e.kit import Command, Daemon, Done, Site
from tests.real import wait_for

__all__ = ["MIB", "NAMED", "SLOW", "Trio", "answer", "answers", "clean_afterwards", "make_trio"]

MIB = 1 << 20
SLOW = """
import sys, time
from linesync import connect_blocking

class Slow:
    "Gives half of its data, and then nothing for a long time."
    at = 0
    def seekable(self): return True
    def tell(self): return self.at
    def seek(self, offset, whence=0):
        self.at = offset if whence == 0 else 200_000
        return self.at
    def read(self, count):
        if self.at >= 100_000:
            time.sleep(100)
        self.at += 50_000
        return bytes(50_000)

with connect_blocking(sys.argv[1]) as client:
    client.exchange("keys", sys.argv[2], Slow())
"""
NAMED = """
import sys
from linesync import connect_blocking
with connect_blocking(sys.argv[1]) as client:
    client.exchange("keys", sys.argv[2], b"named", arrival="mine")
"""


class Trio:
    """A hub and the hosts a, b and c."""

    def __init__(self, site: Site, hub: Daemon, agents: dict[str, Daemon]) -> None:
        self.site, self.hub, self.agents = site, hub, agents

    def start(self, side: str, *args: str, hosts: str = "a,b,c", name: str = "keys") -> Command:
        return self.site.start(side, "exchange", name, "--hosts", hosts, *args)

    def script(self, side: str, program: str, hosts: str = "a,b,c") -> Command:
        """Start a Python program. Its arguments are the endpoint of the side and the list of members."""
        argv = [sys.executable, "-c", program, f"unix:{self.site.socket(side)}", hosts]
        command = Command(argv, {**self.site.env, "PYTHONPATH": os.getcwd()}, self.site.folder)
        self.site._commands.append(command)
        return command

    def row(self, name: str = "keys") -> dict[str, Any]:
        rows = [row for row in self.site.json("hub", "status")["exchanges"] if row["name"] == name]
        return rows[0] if rows else {"given": [], "arrived": [], "missing": {}}

    def await_given(self, *members: str, name: str = "keys") -> None:
        wait_for(lambda: self.row(name)["given"] == sorted(members), f"data of {members}")

    def await_given_by(self, client: Any, *members: str) -> None:
        """The same, but asked through a client whose connection stays in use."""
        wait_for(lambda: [exchange.given for exchange in client.status().exchanges] == [members], f"data of {members}")

    def await_arrived(self, *members: str) -> None:
        wait_for(
            lambda: {arrival["name"] for arrival in self.row()["arrived"]} == set(members), f"arrivals of {members}"
        )


def make_trio(site: Site) -> Trio:
    """A trio over unix sockets, with a lease of 2 s."""
    endpoint = f"unix:{site.folder}/lines"
    hub = site.hub("--listen", endpoint, "--lease", "2")
    hub.says("listening on")
    agents = {name: site.agent("--port", endpoint, name=name) for name in "abc"}
    for name in agents:
        site.await_host(name)
    return Trio(site, hub, agents)


@contextmanager
def clean_afterwards(trio: Trio) -> Iterator[Trio]:
    """Let a test use shared hosts. It must not end their processes. At the end of the block, the names and files of the test are
    removed."""
    folder = trio.site.folder
    before = set(folder.iterdir())
    yield trio
    with connect_blocking(f"unix:{trio.site.socket('hub')}") as client:
        client.reset()
    for path in set(folder.iterdir()) - before:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def answer(done: Done) -> Any:
    assert done.code == 0, done
    return json.loads(done.out)


def answers(trio: Trio, *commands: Command) -> list[Any]:
    return [answer(command.wait()) for command in commands]
