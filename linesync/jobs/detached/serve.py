"""Serves the channels for detached processes on their host."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from ... import protocol
from ...errors import EndOfStream, LinesyncError, LinesyncFailed, TimedOut, UsageError
from ...protocol import At, Attach, DataEnd, Detached, Exited, Kill, Processes, Run, SignalProcess
from ...runtime.channels.streams import MESSAGE, Item, Stream
from ..commands.command import variables_of
from ..commands.handover import SIGNALS
from ..commands.process import Runner
from .output import OutputReader, bounds, line_position
from .processes import Connection, DetachedProcesses
from .records import MESSAGE_DATA, TIMED_OUT

__all__ = ["serve_detached"]

_END_CHECK = 0.02  # seconds between checks whether a supervisor has ended that has closed its connection
_END_CHECKS = 100  # the number of these checks; on a busy machine, a killed process takes a while to end


def _processes(runner: Runner) -> DetachedProcesses:
    if runner.detached is None:
        runner.detached = DetachedProcesses(runner)
    return runner.detached


async def serve_detached(stream: Stream, request: Run | Processes | Attach | SignalProcess, runner: Runner) -> None:
    """Serve a channel. Raises the errors of the functions below."""
    match request:
        case Run():
            await _serve_detach(stream, request, runner)
        case Processes():
            await _serve_processes(stream, runner)
        case Attach():
            await _serve_attach(stream, request, runner)
        case SignalProcess():
            await _serve_signal(stream, request, runner)
    stream.finish()


async def _serve_detach(stream: Stream, request: Run, runner: Runner) -> None:
    """Start a detached process.

    :raises CommandNotFound, CannotExecute, UsageError, LinesyncFailed: the process was not started.
    """
    number, pid = await _processes(runner).start(
        request.argv,
        cwd=request.cwd,
        env=variables_of(request),
        stdin=request.stdin,
        user=request.User,
        clear=request.Clear,
        seconds=request.timeout,
    )
    stream.send_message(protocol.encode(Detached(number=number, pid=pid)))


async def _serve_processes(stream: Stream, runner: Runner) -> None:
    """Send the state of all processes, one line of JSON for each."""
    for row in await _processes(runner).list():
        await stream.send(1, json.dumps(row).encode() + b"\n")


async def _serve_signal(stream: Stream, request: SignalProcess, runner: Runner) -> None:
    """Send a signal to a process, or end it. Raises the errors of :meth:`DetachedProcesses.signal`."""
    await _processes(runner).signal(request.number, request.signal)
    stream.send_message(protocol.encode_ok())


async def _serve_attach(stream: Stream, request: Attach, runner: Runner) -> None:
    """Send the output of a process, and its end.

    :raises UsageError: there is no such process, or it has no stdin.
    :raises TimedOut, LinesyncFailed: the process ended at its time limit, or its exit status is unknown.
    """
    if request.since < 0 or (request.tail is not None and request.tail < 0):
        raise UsageError("invalid begin of the output: expected a position or a number of lines that is not negative")
    processes = _processes(runner)
    one = await processes.find(request.number)
    if request.stdin and not one.started.stdin:
        raise UsageError(
            f"process {runner.name}/{request.number} has no stdin; start it with 'linesync run --detach -i', or attach to it"
            " without -i"
        )
    await _Attached(stream, request, processes).serve()


class _Attached:
    """A client that reads the output of a process."""

    def __init__(self, stream: Stream, request: Attach, processes: DetachedProcesses) -> None:
        self._stream = stream
        self._request = request
        self._processes = processes
        self._path = processes.path(request.number)
        self._desk = stream.desk(self._path, spool=True)
        self._reader: OutputReader | None = None
        self._sent = 0
        """The position of the next byte that the client expects."""

    async def serve(self) -> None:
        """Send the requested output, and pass stdin. Returns early if the client is gone."""
        connection = await self._processes.connect(self._request.number) if self._request.follow else None
        tasks: set[asyncio.Task[Any]] = set()
        try:
            if self._request.output:
                await self._begin()  # before the first byte of stdin, so that the client gets all output that it causes
            tasks.add(sending := asyncio.create_task(self._send(connection)))
            tasks.add(feeding := asyncio.create_task(self._feed(connection)))
            await asyncio.wait({sending, feeding}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() or not feeding.result():
                await sending
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            if connection is not None:
                connection.close()
            if self._reader is not None:
                await self._desk.close(self._reader.close)

    async def _send(self, connection: Connection | None) -> None:
        while True:
            await self._send_output()
            if connection is None or not await connection.notice():
                break
        await self._send_output()
        if self._request.follow:
            await self._send_end()

    async def _begin(self) -> None:
        """Find the first byte for the client, and report its position."""
        request, path = self._request, self._path

        def find() -> tuple[int, int]:
            if request.tail is not None:
                return line_position(path, request.tail), 0
            position = max(bounds(path)[0], request.since)
            return position, position - request.since

        self._sent, dropped = await self._desk.do(find)
        self._reader = OutputReader(path, self._sent)
        self._stream.send_message(protocol.encode(At(position=self._sent, dropped=dropped)))

    async def _send_output(self) -> None:
        """Send all output that is in the files now."""
        while self._reader is not None and (pieces := await self._desk.do(self._reader.read)):
            for position, number, data in pieces:
                if position > self._sent:
                    gap = At(position=position, dropped=position - self._sent)
                    self._stream.send_message(protocol.encode(gap))
                await self._stream.send(number, data)
                self._sent = position + len(data)

    async def _send_end(self) -> None:
        name = f"{self._request.to}/{self._request.number}"
        end = (await self._processes.find(self._request.number)).end
        for _ in range(_END_CHECKS):
            if end is not None:
                break
            await asyncio.sleep(_END_CHECK)
            end = (await self._processes.find(self._request.number)).end
        if end is None:
            raise LinesyncFailed(
                f"too many clients are attached to process {name}; end some of them, or try again later"
            )
        if end.cause == TIMED_OUT:
            raise TimedOut(f"process {name} was ended: {end.cause}")
        if end.status is None:
            raise LinesyncFailed(
                f"process {name} was ended: {end.cause}; its exit status is not known, so start it again"
            )
        self._stream.send_message(protocol.encode(Exited(status=end.status)))

    async def _feed(self, connection: Connection | None) -> bool:
        """Forward stdin and signals to the process. Returns whether the client is gone."""
        try:
            while True:
                item = await self._stream.receive()
                if connection is not None:
                    with suppress(OSError):  # the process has ended
                        await self._forward(connection, item)
        except EndOfStream:
            return False
        except LinesyncError:
            return True

    async def _forward(self, connection: Connection, item: Item) -> None:
        if item.stream == 0 and self._request.stdin:
            for begin in range(0, len(item.data), MESSAGE_DATA):
                await connection.send(b"i" + item.data[begin : begin + MESSAGE_DATA])
        if item.stream != MESSAGE:
            return
        try:
            message = protocol.decode(item.data.decode("utf-8", "replace"), Kill, DataEnd)
        except LinesyncError:
            return  # a newer client sent a message that this version does not know
        if isinstance(message, Kill) and message.signal in SIGNALS:
            await connection.send(b"s" + bytes([message.signal]))
        elif isinstance(message, DataEnd) and self._request.stdin:
            await connection.send(b"z")
