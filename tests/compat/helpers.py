"""Run commands on hosts that are connected only by null modem cables with a baud rate."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from linesync.testing.nullmodem import NullModem
from tests.e2e.kit import Command, Done, Site

__all__ = ["Hosts", "hosts_on_cables"]


class Hosts:
    """A hub, some hosts, and the commands on them, with the drop-in commands on PATH."""

    def __init__(self, site: Site, shims: Path) -> None:
        self.site = site
        self._shims = shims
        self._commands: list[Command] = []

    def start(self, host: str, *argv: str, env: Mapping[str, str] | None = None) -> Command:
        """Start a command on a host and do not wait for it."""
        environ = self.site.env | {
            "PATH": f"{self._shims}:{self.site.env['PATH']}",
            "LINESYNC_HUB": f"unix:{self.site.socket(host)}",
            "LINESYNC_HOST": host,
            "LAVA_MULTI_NODE_CACHE": str(self.cache(host)),
        }
        command = Command(argv, environ | dict(env or {}), self.site.folder)
        self._commands.append(command)
        return command

    def python(self, host: str, code: str, *args: str, env: Mapping[str, str] | None = None) -> Command:
        """Run a Python script on a host."""
        return self.start(host, sys.executable, "-c", code, *args, env=env)

    def type(self, host: str, *argv: str, env: Mapping[str, str] | None = None) -> Done:
        """Run a command on a host and wait for its end."""
        return self.start(host, *argv, env=env).wait()

    def cache(self, host: str) -> Path:
        """The cache file of LAVA's commands on a host."""
        return self.site.folder / f"cache-{host}"

    def close(self) -> None:
        for command in self._commands:
            command.close()


@contextmanager
def hosts_on_cables(
    site: Site, shims: Path, published: Mapping[str, Mapping[str, str]], *hub: str, baud: int = 115200
) -> Iterator[Hosts]:
    """A hub and these hosts, each with its own cable.

    :param published: the values that each host's agent publishes.
    :param hub: further arguments of the hub.
    :param baud: the speed of the cables.
    """
    hosts = Hosts(site, shims)
    with ExitStack() as stack:
        stack.callback(hosts.close)
        cables = {name: stack.enter_context(NullModem(baud=baud)) for name in published}
        site.hub(*hub, *(word for cable in cables.values() for word in ("--port", cable.a)))
        for name, cable in cables.items():
            words = [word for item in published[name].items() for word in ("--publish", "=".join(item))]
            site.agent("--port", cable.b, *words, name=name)
        for name in published:
            site.await_host(name)
        yield hosts
