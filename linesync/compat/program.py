"""What the drop-in commands and modules share: the connection, their settings, and how an error ends a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..client.places import find_hub, setting
from ..errors import LinesyncError, UsageError

if TYPE_CHECKING:
    from ..client.blocking import BlockingClient

__all__ = ["connect", "namespace", "options", "own_host", "run", "seconds"]


def connect(program: str, endpoint: str = "") -> BlockingClient:
    """Connect to a hub or an agent, and tell on stderr what it has to say while we wait.

    :param program: whose words they are.
    :param endpoint: empty for where all commands look.
    :raises LinesyncFailed: nobody listens there.
    """
    from ..client.blocking import connect_blocking

    said: set[str] = set()

    def notice(text: str) -> None:
        if text not in said:
            said.add(text)
            print(f"{program}: {text}", file=sys.stderr, flush=True)

    return connect_blocking(endpoint or find_hub(), notice)


def namespace(command: str) -> str:
    """Where the names live: LINESYNC_NAMESPACE, or ``namespace`` in linesync.toml."""
    return str(setting("namespace", command) or "default")


def own_host(client: BlockingClient) -> str:
    """The name of the host that we run on, ``hub`` for the controller."""
    name = os.environ.get("LINESYNC_HOST")
    # A barrier for one names its party. It costs a line of two machines a few dozen bytes; the table of hosts does not.
    return name or client.barrier("who am I", 1, namespace="linesync").parties[0]


def seconds(text: str, what: str = "timeout") -> float:
    """A number of seconds that somebody wrote."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e9:
        raise UsageError(f"the {what} {text!r} is not a number of seconds")
    return value


def options(
    argv: Sequence[str], short: str, long: Sequence[str], usage: str, *, mixed: bool = False
) -> tuple[list[tuple[str, str]], list[str]]:
    """Read a command line as getopt(3) does; long names may be shortened.

    :param mixed: options may stand behind arguments.
    :returns: (option with its hyphens, value) in order, and the arguments.
    :raises UsageError: an option is not known or lacks its value.
    """
    import getopt

    try:
        return (getopt.gnu_getopt if mixed else getopt.getopt)(list(argv), short, list(long))
    except getopt.GetoptError as error:
        raise UsageError(f"{error.msg}; usage: {usage}") from None


def run(program: str, work: Callable[[list[str]], int], argv: Sequence[str]) -> int:
    """Run a command; its exit code. An error becomes a sentence on stderr."""
    try:
        code = work(list(argv))
        sys.stdout.flush()
        return code
    except LinesyncError as error:
        print(f"{program}: {error.message}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read our output has left
        return 141
