"""A host's side of the channels that are opened to it: commands and files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import TYPE_CHECKING, Any

from .. import protocol
from ..errors import EndOfStream, LinesyncError, LinesyncFailed
from ..protocol import FileRead, FileWrite, Message, Run, operations
from ..runtime.streams import Stream

if TYPE_CHECKING:
    from ..jobs.process import Runner

__all__ = ["HOST_JOBS", "JOBS", "Jobs", "addressee", "answered", "is_command", "refuse", "serve", "settle", "stop"]

JOBS = 64  # commands and file transfers of one script on one host at the same time
HOST_JOBS = 512  # the same of all scripts together


def addressee(opening: Message | None) -> str:
    """The host that an opening is for; empty if no host serves it, or if the opening is unknown."""
    if opening is None or operations.HOST not in operations.operation(opening).receivers:
        return ""
    return str(opening.to)  # type: ignore[attr-defined]


def is_command(opening: Message | None, host: str) -> bool:
    """Whether an opening runs a command on this host."""
    return isinstance(opening, Run) and opening.to == host


class Jobs:
    """The jobs of one script, or those of one host for all scripts.

    :param most: the most jobs on one host.
    :param whose: whose jobs they are, for the error.
    """

    def __init__(self, most: int, whose: str) -> None:
        self._most = most
        self._whose = whose
        self._running: dict[str, int] = {}  # bound: membership.HOSTS_MAX
        """The number of jobs on each host that has any."""

    async def run(self, host: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do a job on a host.

        :raises LinesyncFailed: there are too many already.
        """
        running = self._running.get(host, 0)
        if running >= self._most:
            raise LinesyncFailed(
                f"{host} already runs {running} commands and file transfers for {self._whose}, which is the limit; wait until"
                " some of them end"
            )
        self._running[host] = running + 1
        try:
            await work()
        finally:
            self._running[host] -= 1
            if not self._running[host]:
                del self._running[host]


async def serve(stream: Stream, runner: Runner, jobs: Jobs) -> None:
    """Do the job that a channel was opened for. An error goes to the client as the last message.

    :param jobs: all jobs of this host.
    """
    from .command import serve_run
    from .files import serve_read, serve_write

    try:
        request = operations.read_opening(stream.words)
        if isinstance(request, Run):
            await jobs.run(runner.name, lambda: serve_run(stream, request, runner))
        elif isinstance(request, FileRead):
            await jobs.run(runner.name, lambda: serve_read(stream, request))
        elif isinstance(request, FileWrite):
            await jobs.run(runner.name, lambda: serve_write(stream, request))
        else:
            raise LinesyncFailed(f"no host serves '{request.VERB}'; send it to the hub")
    except asyncio.CancelledError as error:
        why = str(error.args[0]) if error.args and error.args[0] else f"the agent on {runner.name} was stopped"
        refuse(stream, LinesyncFailed(why))
        raise
    except LinesyncError as error:
        refuse(stream, error)
    except OSError as error:
        refuse(stream, LinesyncFailed(f"{runner.name} cannot do this now: {error.strerror or error}; try again later"))
    except Exception as error:
        # A bug in linesync must not leave the client waiting; the log has the rest.
        where = runner.name
        refuse(stream, LinesyncFailed(f"linesync on {where} has a bug ({error!r}); see its log there, and report it"))
        raise
    await settle(stream)


async def answered(stream: Stream, work: Callable[[Stream], Coroutine[Any, Any, None]]) -> None:
    """Do the job that a channel was opened for. Any failure goes to the client as the last message, so that it does not
    wait forever.

    :param work: gives the coroutine that does the job; both may raise.
    """
    try:
        await work(stream)
    except LinesyncError as error:
        refuse(stream, error)
        await settle(stream)
    except Exception as error:
        refuse(
            stream, LinesyncFailed(f"linesync has a bug ({error!r}); see the log of the hub or agent, and report it")
        )
        raise


async def stop(tasks: Collection[asyncio.Task[None]], seconds: float, reason: str) -> None:
    """Cancel tasks twice: the first time asks a command to end, the second time kills it.

    :param seconds: how long to wait for the tasks after each cancellation.
    :param reason: why, as a clause that names the host.
    """
    for _ in range(2):
        for task in list(tasks):
            task.cancel(reason)
        if tasks:
            await asyncio.wait(list(tasks), timeout=seconds)


async def settle(stream: Stream) -> None:
    """Receive and discard until the client has closed its side, so that nothing of the channel is left."""
    try:
        while True:
            await stream.receive()
    except EndOfStream:
        pass
    except LinesyncError:
        pass


def refuse(stream: Stream, error: LinesyncError) -> None:
    """Send an error as a channel's last message."""
    if stream.broken is not None:
        return
    try:
        stream.send_message(protocol.encode_error(error))
    except LinesyncError:
        return
    stream.end()
