"""Serves the channels that clients open to this host: commands, file copies and forwarded connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from .. import protocol
from ..errors import EndOfStream, LinesyncError, LinesyncFailed, NotAllowed
from ..protocol import (
    Accept,
    Attach,
    Connect,
    FileRead,
    FilesRead,
    FilesWrite,
    FileWrite,
    Listen,
    Message,
    Processes,
    Run,
    SignalProcess,
    Wide,
    operations,
)
from ..runtime.channels.streams import Stream

if TYPE_CHECKING:
    from .commands.process import Runner
    from .commands.resuming import Resuming
    from .sockets.forwarding import Sockets

__all__ = [
    "CONNECTIONS",
    "HOST_CONNECTIONS",
    "HOST_JOBS",
    "JOBS",
    "Jobs",
    "Services",
    "Tasks",
    "addressee",
    "answered",
    "is_command",
    "refuse",
    "serve",
    "settle",
]

JOBS = 64  # the limit of commands and file copies of one script on one host at the same time
HOST_JOBS = 512  # the same limit for all scripts together
CONNECTIONS = 1024  # the limit of channels of forwarded connections of one script on one host at the same time
HOST_CONNECTIONS = 3000  # the same limit for all scripts together
_FORWARDS = (Connect, Listen, Accept, Wide)
"""The openings of forwarded connections and listening sockets."""


def addressee(opening: Message | None) -> str:
    """The name of the host that an opening (the first message of a channel) is addressed to.

    It is empty if the hub serves the opening, or if the opening is unknown.
    """
    if opening is None or operations.HOST not in operations.operation(opening).receivers:
        return ""
    return str(opening.to)  # type: ignore[attr-defined]


def is_command(opening: Message | None, host: str) -> bool:
    """Whether an opening runs a command on this host."""
    return isinstance(opening, Run) and opening.to == host


class Jobs:
    """Limits the number of jobs of one script, or of all scripts on one host. Commands and copies have one limit, and forwarded
    connections another.

    :param limit: the maximum number of commands and copies on one host.
    :param connections: the maximum number of forwarded connections and listeners on one host.
    :param owner: the owner of the jobs as a noun phrase for the error, such as "this script".
    """

    def __init__(self, limit: int, connections: int, owner: str) -> None:
        self._limits = {False: limit, True: connections}
        self._owner = owner
        self._running: dict[tuple[str, bool], int] = {}  # bound: membership.HOSTS_MAX
        """The number of running jobs by host and by kind: False for commands and copies, True for forwarded connections. A host
        without such jobs has no entry."""

    async def run(self, host: str, opening: Message | None, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a job on a host.

        :param opening: the opening of its channel, or None if this version does not know it.
        :raises LinesyncFailed: the limit is reached.
        """
        forwards = isinstance(opening, _FORWARDS)
        key = host, forwards
        running = self._running.get(key, 0)
        if running >= self._limits[forwards]:
            jobs = "has {} forwarded connections" if forwards else "runs {} commands and file transfers"
            raise LinesyncFailed(
                f"{host} already {jobs.format(running)} for {self._owner}, which is the limit; wait until some of them end"
            )
        self._running[key] = running + 1
        try:
            await work()
        finally:
            self._running[key] -= 1
            if not self._running[key]:
                del self._running[key]


class Services:
    """The services of one host, for :func:`serve`.

    :ivar runner: runs the commands of this host.
    :ivar resuming: the commands to which clients may return.
    :ivar jobs: the counter of all jobs of this host.
    :ivar forward_refusal: the reason why this host refuses to forward connections, as a sentence; empty if it does not.
    """

    def __init__(self, runner: Runner, resuming: Resuming) -> None:
        self.runner = runner
        self.resuming = resuming
        self.jobs = Jobs(HOST_JOBS, HOST_CONNECTIONS, "all scripts together")
        self.forward_refusal = ""
        self._sockets: Sockets | None = None

    @property
    def sockets(self) -> Sockets:
        """The sockets of this host that clients use."""
        if self._sockets is None:
            from .sockets.forwarding import Sockets  # most hosts forward no connections

            self._sockets = Sockets(self.runner.name)
        return self._sockets

    def check(self, request: Message) -> None:
        """Refuse a request that the options of this host do not allow.

        :raises NotAllowed: with the reason.
        """
        if operations.operation(request).permission == operations.RUN and self.runner.refusal:
            raise NotAllowed(self.runner.refusal)
        if isinstance(request, Run):
            self.runner.check_user(request.User)
        elif isinstance(request, FilesRead | FilesWrite):
            if request.User:
                self.runner.check_user(request.User)
        elif isinstance(request, _FORWARDS):
            if self.forward_refusal:
                raise NotAllowed(self.forward_refusal)
            self.runner.check_user("")  # this process connects and listens


async def serve(stream: Stream, services: Services) -> None:
    """Run the job of a channel. An error is sent to the client as the last message."""
    try:
        served = services.resuming.begin(stream)
    except LinesyncError as error:
        refuse(stream, error)
        await settle(stream)
        return
    if served is None:
        return  # the task of the earlier channel continues
    why = "linesync has a bug"
    try:
        await _serve(served, services)
        why = served.broken or ""
    except asyncio.CancelledError as error:
        why = _cancel_reason(error, services.runner)
        raise
    finally:
        services.resuming.end(served, why)


async def _serve(stream: Stream, services: Services) -> None:
    runner = services.runner
    try:
        request = operations.read_opening(stream.words)
        services.check(request)
        await services.jobs.run(runner.name, request, lambda: _job(stream, request, services))
    except asyncio.CancelledError as error:
        refuse(stream, LinesyncFailed(_cancel_reason(error, runner)))
        raise
    except LinesyncError as error:
        refuse(stream, error)
    except OSError as error:
        refuse(stream, LinesyncFailed(f"{runner.name} cannot do this now: {error.strerror or error}; try again later"))
    except Exception as error:
        # A bug in linesync must not leave the client waiting. The log shows the traceback.
        host = runner.name
        refuse(stream, LinesyncFailed(f"linesync on {host} has a bug ({error!r}); see its log there, and report it"))
        raise
    await settle(stream)


def _cancel_reason(error: asyncio.CancelledError, runner: Runner) -> str:
    return str(error.args[0]) if error.args and error.args[0] else f"the agent on {runner.name} was stopped"


def _job(stream: Stream, request: Message, services: Services) -> Coroutine[Any, Any, None]:
    if isinstance(request, Run) and not request.Detach:
        from .commands.command import serve_run

        return serve_run(stream, request, services.runner)
    if isinstance(request, Run | Processes | Attach | SignalProcess):
        from .detached.serve import serve_detached

        return serve_detached(stream, request, services.runner)
    if isinstance(request, _FORWARDS):
        return services.sockets.serve(stream, request)
    if isinstance(request, FilesRead | FilesWrite):
        from .trees.channel import serve_files  # imported late, because only copies of trees need it

        return serve_files(stream, request)
    from .files.single import serve_read, serve_write

    if isinstance(request, FileRead):
        return serve_read(stream, request)
    if isinstance(request, FileWrite):
        return serve_write(stream, request)
    raise LinesyncFailed(f"no host serves '{request.VERB}'; send it to the hub")


async def answered(stream: Stream, work: Callable[[Stream], Coroutine[Any, Any, None]]) -> None:
    """Run the job of a channel. Any failure is sent to the client as the last message, so that the client does not wait
    forever.

    :param work: returns the coroutine of the job. The call and the coroutine may raise.
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


class Tasks:
    """The tasks of a hub or an agent.

    :param owner: the hub or agent as a noun phrase for the log, such as "the hub".
    :param report: is called with the error of each task that fails with a LinesyncError.
    """

    def __init__(self, owner: str, report: Callable[[str], None]) -> None:
        self._owner = owner
        self._report = report
        self._running: set[asyncio.Task[None]] = set()  # bound: limits.CHANNELS, limits.SESSIONS

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, LinesyncError):
            self._report(str(error))
        elif error is not None:
            context = {"message": f"a task of {self._owner} failed", "exception": error}
            task.get_loop().call_exception_handler(context)

    async def stop(self, seconds: float, reason: str) -> None:
        """Cancel all tasks twice. The first cancellation ends a command with SIGTERM, the second kills it.

        :param seconds: the time to wait for the tasks after each cancellation.
        :param reason: the reason, as a clause that names the host.
        """
        for _ in range(2):
            for task in list(self._running):
                task.cancel(reason)
            if self._running:
                await asyncio.wait(list(self._running), timeout=seconds)


async def settle(stream: Stream) -> None:
    """Receive and discard data until the client has closed its side of the channel, which frees the channel."""
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
    stream.finish()
