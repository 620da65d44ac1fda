"""Runs a command for a client: streams its output, reports its exit status, and ends it when the client is gone."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

from ... import protocol
from ...errors import EndOfStream, LinesyncError, TimedOut, UsageError
from ...protocol import DataEnd, Exited, Kill, Resize, Run, Started
from ...runtime.channels.streams import MESSAGE, Stream
from .process import Output, Process, Runner

__all__ = ["serve_run", "variables_of"]

_AFTER_EXIT = 0.5  # seconds that a grandchild may keep a pipe open without output after the command has ended
_REPORT_PID_AFTER = 0.05  # seconds; if the command has ended by then, the client does not need its pid


async def serve_run(stream: Stream, request: Run, runner: Runner) -> None:
    """Run a command until it and all processes that it started have ended. The last message on the channel is its result.

    :raises CommandNotFound, CannotExecute, UsageError: the command was not started.
    :raises TimedOut: the command was ended at its deadline.
    """
    environment = variables_of(request)
    size = None
    if request.Terminal:
        from .terminal import read_size

        size = read_size(request.Terminal)
    loop = asyncio.get_running_loop()
    deadline = None if request.timeout is None else loop.time() + request.timeout
    try:
        async with asyncio.timeout_at(deadline):
            process = await runner.start(
                request.argv,
                cwd=request.cwd,
                env=environment,
                stdin=request.stdin,
                user=request.User,
                clear=request.Clear,
                terminal=size,
            )
    except TimeoutError:
        raise _timed_out(request, gone=True) from None
    command = _Command(process, stream)
    # feed() may wait for a command that does not read its stdin.
    stream.on_broken = process.end
    stream.on_message = command.handle_urgent
    feeding = asyncio.create_task(command.feed())
    start_timer = loop.call_later(_REPORT_PID_AFTER, lambda: command.report_start(pid=request.tell))
    try:
        async with asyncio.timeout_at(deadline):
            status = await command.finish()
        await process.end_and_wait()
    except TimeoutError:
        await process.end_and_wait()
        raise _timed_out(request, gone=process.gone) from None
    except asyncio.CancelledError as error:
        with suppress(asyncio.CancelledError):  # cancelled again: end_and_wait() has killed the command
            await process.end_and_wait()
        reason = error.args[0] if error.args else f"the agent on {request.to} was stopped"
        state = "was ended" if process.gone else f"(pid {process.pid}) is being ended"
        raise asyncio.CancelledError(f"{reason}; {request.argv[0]} {state}") from None
    except BaseException:
        await process.end_and_wait()
        raise
    finally:
        start_timer.cancel()
        feeding.cancel()
        await asyncio.wait({feeding})
        process.close()
    stream.send_message(protocol.encode(Exited(status=status)))
    stream.finish()


def _timed_out(request: Run, *, gone: bool) -> TimedOut:
    state = "was ended" if gone else "is being ended"
    return TimedOut(f"{request.argv[0]} on {request.to} was still running after {request.timeout:g} s and {state}")


def variables_of(request: Run) -> dict[str, str]:
    """The environment variables of a command.

    :raises UsageError: the request has no command, or the variables are malformed.
    """
    if not request.argv or not request.argv[0]:
        raise UsageError("no command was given; name one after --")
    if not request.env:
        return {}
    try:
        return {str(key): str(value) for key, value in json.loads(request.env).items()}
    except (ValueError, AttributeError):
        raise UsageError("the environment of the command is malformed; give it as K=V") from None


class _Command:
    """One running command and its channel."""

    def __init__(self, process: Process, stream: Stream) -> None:
        self._process = process
        self._stream = stream
        self._reading: dict[int, float | None] = dict.fromkeys(process.outputs)
        """For each output: the loop time at which the current read began, or None if no read is waiting."""

    def report_start(self, *, pid: bool) -> None:
        """Show the client that this host keeps the command if the hub is killed.

        :param pid: send the pid, too, so that the client can name the process if the connection is lost.
        """
        with suppress(LinesyncError):
            self._stream.confirm()
            if pid:
                self._stream.send_message(protocol.encode(Started(pid=self._process.pid)))

    async def finish(self) -> int:
        """Forward the output until the command has ended and its output is sent.

        :returns: the exit status, or -N for signal N.
        """
        outputs = self._process.outputs
        pumps = [asyncio.create_task(self._forward_output(pipe, number)) for number, pipe in outputs.items()]
        try:
            status = await self._process.wait()
            loop = asyncio.get_running_loop()
            while not all(pump.done() for pump in pumps):
                await asyncio.wait(pumps, timeout=0.1)
                began = [self._reading[n] for n, pump in zip(outputs, pumps, strict=True) if not pump.done()]
                if all(since is not None and loop.time() - since > _AFTER_EXIT for since in began):
                    break
            for pump in pumps:
                if pump.done():
                    pump.result()
            return status
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)

    async def _forward_output(self, pipe: Output, number: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._reading[number] = loop.time()
            chunk = await pipe.read()
            self._reading[number] = None
            if not chunk:
                return
            await self._stream.send(number, chunk)

    async def feed(self) -> None:
        """Forward stdin and signals to the command; end the command when the client is gone."""
        stdin = self._process.stdin
        try:
            while True:
                item = await self._stream.receive()
                if item.stream == MESSAGE:
                    if self._handle_message(item.data.decode("utf-8", "replace")) and stdin is not None:
                        stdin.close()
                        stdin = None
                elif item.stream == 0 and stdin is not None:
                    with suppress(BrokenPipeError):
                        await stdin.write(item.data)
        except EndOfStream:
            if stdin is not None:
                stdin.close()
        except LinesyncError:
            self._process.end()

    def handle_urgent(self, text: str) -> bool:
        """Handle a message when it arrives. Returns whether it was handled: the end of stdin is handled later, in order."""
        if text.startswith(f"{DataEnd.VERB}"):
            return False
        self._handle_message(text)
        return True

    def _handle_message(self, text: str) -> bool:
        """Handle a message of the client. Returns whether stdin has ended."""
        try:
            message = protocol.decode(text, Kill, DataEnd, Resize)
        except LinesyncError:
            return False  # a newer client sent a message that this version does not know
        if isinstance(message, Kill):
            self._process.signal(message.signal)
        elif isinstance(message, Resize) and self._process.terminal is not None:
            self._process.terminal.resize(message.columns, message.rows)
        return isinstance(message, DataEnd)
