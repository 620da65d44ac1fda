"""Serves the channels that clients open to this host: commands and file copies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from .. import protocol
from ..errors import EndOfStream, LinesyncError, LinesyncFailed, NotAllowed
from ..protocol import Attach, FileRead, FileWrite, Message, Processes, Run, SignalProcess, operations
from ..runtime.streams import Stream

if TYPE_CHECKING:
    from ..jobs.process import Runner
    from ..jobs.resuming import Resuming

__all__ = ["HOST_JOBS", "JOBS", "Jobs", "Tasks", "addressee", "answered", "is_command", "refuse", "serve", "settle"]

JOBS = 64  # the limit of commands and file copies of one script on one host at the same time
HOST_JOBS = 512  # the same limit for all scripts together


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
    """Limits the number of jobs of one script, or of all scripts on one host.

    :param limit: the maximum number of jobs on one host.
    :param owner: the owner of the jobs as a noun phrase for the error, such as "this script".
    """

    def __init__(self, limit: int, owner: str) -> None:
        self._limit = limit
        self._owner = owner
        self._running: dict[str, int] = {}  # bound: membership.HOSTS_MAX
        """The number of running jobs by host; a host without jobs has no entry."""

    async def run(self, host: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a job on a host.

        :raises LinesyncFailed: the limit is reached.
        """
        running = self._running.get(host, 0)
        if running >= self._limit:
            raise LinesyncFailed(
                f"{host} already runs {running} commands and file transfers for {self._owner}, which is the limit; wait until"
                " some of them end"
            )
        self._running[host] = running + 1
        try:
            await work()
        finally:
            self._running[host] -= 1
            if not self._running[host]:
                del self._running[host]


async def serve(stream: Stream, runner: Runner, jobs: Jobs, resuming: Resuming) -> None:
    """Run the job of a channel. An error is sent to the client as the last message.

    :param jobs: the counter of all jobs of this host.
    :param resuming: the commands of this host to which clients may return.
    """
    try:
        served = resuming.begin(stream)
    except LinesyncError as error:
        refuse(stream, error)
        await settle(stream)
        return
    if served is None:
        return  # the task of the earlier channel continues
    why = "linesync has a bug"
    try:
        await _serve(served, runner, jobs)
        why = served.broken or ""
    except asyncio.CancelledError as error:
        why = _cancel_reason(error, runner)
        raise
    finally:
        resuming.end(served, why)


async def _serve(stream: Stream, runner: Runner, jobs: Jobs) -> None:
    try:
        request = operations.read_opening(stream.words)
        if operations.operation(request).permission == operations.RUN and runner.refusal:
            raise NotAllowed(runner.refusal)
        if isinstance(request, Run):
            runner.check_user(request.User)
        await jobs.run(runner.name, lambda: _job(stream, request, runner))
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


def _job(stream: Stream, request: Message, runner: Runner) -> Coroutine[Any, Any, None]:
    from .command import serve_run
    from .files import serve_read, serve_write

    if isinstance(request, Run) and not request.Detach:
        return serve_run(stream, request, runner)
    if isinstance(request, Run | Processes | Attach | SignalProcess):
        from .detached.serve import serve_detached

        return serve_detached(stream, request, runner)
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
