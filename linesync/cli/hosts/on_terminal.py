"""A command on a terminal of a host, driven from the terminal of the person: ``run -t`` and ``shell``."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress

from ... import protocol
from ...errors import LinesyncError, UsageError
from ..own_terminal import Escapes, raw_terminal, reported_resizes, terminal_size
from .running import Feeder, Job, drive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...client.blocking import BlockingClient

__all__ = ["check_terminal", "run_on_terminal"]

_LEFT = 130  # the exit code after ~., as after Ctrl-C


def check_terminal(command: str, instead: str, *, as_json: bool) -> None:
    """Check that this command can use the terminal of the person.

    :param command: the command or option that needs the terminal, for the error.
    :param instead: an instruction for programs, as a clause.
    :raises UsageError: stdin is not a terminal, or the output is JSON.
    """
    if as_json:
        raise UsageError(f"{command} shows the bytes of the terminal unchanged; omit --json, or {instead}")
    if not os.isatty(0):
        raise UsageError(f"{command} needs a terminal as stdin; type the command on a terminal, or {instead}")


def run_on_terminal(
    client: BlockingClient, host: str, argv: Sequence[str], args: argparse.Namespace, env: dict[str, str]
) -> int:
    """Run a command on a terminal of a host until it ends or the person leaves. Returns the exit code.

    :param args: the arguments of :class:`~linesync.cli.hosts.running.Job`.
    """
    env = {"TERM": os.environ.get("TERM") or "dumb"} | env
    size = terminal_size()
    job = Job(client, host, list(argv), args, env, terminal=size)

    def leave() -> None:
        job.leave(_LEFT)

    def resized(columns: int, rows: int) -> None:
        with suppress(LinesyncError):  # the command has just ended
            job.stream.send_urgent(protocol.encode(protocol.Resize(columns=columns, rows=rows)))

    escapes = Escapes({".": (f"leave {host}; the command there ends", leave)})
    with raw_terminal(), reported_resizes(client.peer, resized):
        Feeder(client, [job], escapes.take, at_end=leave)
        if terminal_size() != size:  # it changed before its changes were reported
            resized(*terminal_size())
        drive(client, [job])
    if job.left_early:
        print(f"linesync: left {host}, and the command there ends", file=sys.stderr)
    job.print_error()
    return job.exit_code
