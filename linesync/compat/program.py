"""Shared by the drop-in commands and modules: the connection, the settings, and errors that end a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..client.settings.places import find_hub, setting
from ..errors import LinesyncError, UsageError
from ..program import run_program

if TYPE_CHECKING:
    from ..client.blocking import BlockingClient

__all__ = ["connect", "namespace", "options", "own_host", "run"]


def connect(program: str, endpoint: str = "", timeout: float | None = None) -> BlockingClient:
    """Connect to a hub or an agent. Notices are printed on stderr, each text only once.

    :param program: the name at the beginning of each notice.
    :param endpoint: the endpoint of the hub or agent; if it is empty, the endpoint that all linesync commands use.
    :param timeout: seconds within which the hub or agent must answer, or None.
    :raises TimedOut: the hub or agent did not answer in that time.
    :raises LinesyncFailed: no hub or agent answers at that endpoint.
    """
    from ..client.blocking import connect_blocking

    printed: set[str] = set()

    def notice(text: str) -> None:
        if text not in printed:
            printed.add(text)
            print(f"{program}: {text}", file=sys.stderr, flush=True)

    return connect_blocking(endpoint or find_hub(), notice, timeout=timeout)


def namespace(command: str) -> str:
    """The namespace for a drop-in command: LINESYNC_NAMESPACE, ``namespace`` in linesync.toml, or 'default'."""
    return str(setting("namespace", command) or "default")


def own_host(client: BlockingClient, timeout: float | None = None) -> str:
    """The name of the host on which this process runs; ``hub`` on the controller."""
    name = os.environ.get("LINESYNC_HOST")
    # The reply to a barrier of one party contains the name of that party. It is shorter than the list of all hosts.
    return name or client.barrier("who am I", 1, timeout=timeout, namespace="linesync").parties[0]


def options(
    argv: Sequence[str], short: str, long: Sequence[str], usage: str, *, mixed: bool = False
) -> tuple[list[tuple[str, str]], list[str]]:
    """Read a command line as getopt(3) does; long options may be abbreviated.

    :param mixed: options may also follow arguments.
    :returns: the options in order, as (option with its hyphens, value), and the arguments.
    :raises UsageError: an option is unknown, or its value is missing.
    """
    import getopt

    try:
        return (getopt.gnu_getopt if mixed else getopt.getopt)(list(argv), short, list(long))
    except getopt.GetoptError as error:
        raise UsageError(f"{error.msg}; usage: {usage}") from None


def run(program: str, work: Callable[[list[str]], int], argv: Sequence[str]) -> int:
    """Run a command and return its exit code. An error becomes one sentence on stderr."""

    def report(error: LinesyncError) -> None:
        print(f"{program}: {error.message}", file=sys.stderr)

    return run_program(lambda: work(list(argv)), report)
