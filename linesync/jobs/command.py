"""Running a command for a client: its output as it comes, its end as it was, and nothing left of it when the client
is gone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress

from .. import protocol
from ..errors import CannotExecute, CommandNotFound, EndOfStream, LinesyncError, TimedOut, UsageError
from ..protocol import Exited, Kill, Run
from ..runtime.streams import MESSAGE, Stream

__all__ = ["serve_run"]

_CHUNK = 1 << 15
_AFTER_EXIT = 0.5  # seconds that a pipe may stay silent and open, held by some grandchild, once the command is over
_TERM_TO_KILL = 3.0


async def serve_run(stream: Stream, request: Run, extra: Mapping[str, str]) -> None:
    """Run a command; its last message on the channel is how it ended.

    :param extra: variables for every command, under those of the request.
    :raises CommandNotFound, CannotExecute, UsageError: it was not started.
    :raises TimedOut: it was ended at its deadline.
    """
    starting = asyncio.ensure_future(_start(request, extra))
    try:
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:
        # The client is gone while its command is being started: it may run already, and must not run on.
        with suppress(LinesyncError):
            await _Command(await starting, stream).kill_all()
        raise
    command = _Command(process, stream)
    feeding = asyncio.create_task(command.feed())
    try:
        async with asyncio.timeout(request.timeout):
            status = await command.finish()
    except TimeoutError:
        await command.kill_all()
        raise TimedOut(
            f"{request.argv[0]} on {request.to} was still running after {request.timeout:g} s and was ended"
        ) from None
    except BaseException:
        await command.kill_all()
        raise
    finally:
        feeding.cancel()
        command.close()
        await asyncio.wait({feeding})
    stream.send_message(protocol.encode(Exited(status=status)))
    stream.end()


async def _start(request: Run, extra: Mapping[str, str]) -> asyncio.subprocess.Process:
    if not request.argv or not request.argv[0]:
        raise UsageError("no command was given; name one after --")
    environment = {**os.environ, **extra}
    if request.env:
        try:
            environment |= {str(key): str(value) for key, value in json.loads(request.env).items()}
        except (ValueError, AttributeError):
            raise UsageError("the environment of the command is malformed; give it as K=V") from None
    cwd = os.path.expanduser(request.cwd) if request.cwd else None
    if cwd is not None and not os.path.isdir(cwd):
        raise CannotExecute(f"there is no directory {request.cwd} on {request.to}; choose another with -C")
    _prepare_watcher()
    try:
        return await asyncio.create_subprocess_exec(
            *request.argv,
            stdin=asyncio.subprocess.PIPE if request.stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_CHUNK,
            cwd=cwd,
            env=environment,
            start_new_session=True,  # so that all it starts can be ended with it
        )
    except FileNotFoundError:
        raise CommandNotFound(
            f"{request.argv[0]} was not found on {request.to}; check the name and the PATH of its agent"
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise CannotExecute(f"{request.argv[0]} cannot be executed on {request.to}: {why}; check the file") from None


def _prepare_watcher() -> None:
    """Before Python 3.12 asyncio starts a thread for each child unless told to use the kernel's pidfds."""
    if sys.version_info < (3, 12):
        watcher = asyncio.get_event_loop_policy().get_child_watcher()
        if not isinstance(watcher, asyncio.PidfdChildWatcher):
            try:
                os.close(os.pidfd_open(os.getpid()))
            except OSError:
                return
            watcher = asyncio.PidfdChildWatcher()
            asyncio.get_event_loop_policy().set_child_watcher(watcher)
        if not watcher.is_active():  # attaching forgets the children that are watched already
            watcher.attach_loop(asyncio.get_running_loop())


class _Command:
    """One running command and the channel it talks over."""

    def __init__(self, process: asyncio.subprocess.Process, stream: Stream) -> None:
        self._process = process
        self._stream = stream
        self._reading: dict[int, float | None] = {1: None, 2: None}
        """For each output: since when we wait for bytes of it, None while we do not."""

    async def finish(self) -> int:
        """Carry the output until the command has ended and all of it was taken; its status, or -N for signal N."""
        process = self._process
        assert process.stdout is not None and process.stderr is not None
        pumps = [
            asyncio.create_task(self._carry(process.stdout, 1)),
            asyncio.create_task(self._carry(process.stderr, 2)),
        ]
        try:
            status = await process.wait()
            loop = asyncio.get_running_loop()
            while not all(pump.done() for pump in pumps):
                await asyncio.wait(pumps, timeout=0.1)
                waits = [self._reading[n] for n in (1, 2) if not pumps[n - 1].done()]
                if all(since is not None and loop.time() - since > _AFTER_EXIT for since in waits):
                    break
            for pump in pumps:
                if pump.done():
                    pump.result()
            return status
        finally:
            for pump in pumps:
                pump.cancel()

    async def _carry(self, pipe: asyncio.StreamReader, number: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._reading[number] = loop.time()
            chunk = await pipe.read(_CHUNK)
            self._reading[number] = None
            if not chunk:
                return
            await self._stream.send(number, chunk)

    async def feed(self) -> None:
        """Carry stdin and signals to the command; end the command when the client is gone."""
        stdin = self._process.stdin
        try:
            while True:
                item = await self._stream.receive()
                if item.stream == MESSAGE:
                    self._message(item.data.decode("utf-8", "replace"))
                elif item.stream == 0 and stdin is not None:
                    with suppress(BrokenPipeError, ConnectionResetError):
                        stdin.write(item.data)
                        await stdin.drain()
        except EndOfStream:
            if stdin is not None:
                stdin.close()
        except LinesyncError:
            await self.kill_all()

    def _message(self, text: str) -> None:
        try:
            message = protocol.decode(text, Kill)
        except LinesyncError:
            return  # of a newer client; the command is none the worse for it
        assert isinstance(message, Kill)
        self._signal(message.signal)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError, ValueError, OSError):
            os.killpg(self._process.pid, number)

    async def kill_all(self) -> None:
        """End the command and what it has started: asked at first, then made."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        ended = asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait({ended}, timeout=_TERM_TO_KILL)
        finally:  # we may be cancelled while we wait, and then it is made at once
            self._signal(signal.SIGKILL)
            await asyncio.wait({ended}, timeout=_TERM_TO_KILL)

    def close(self) -> None:
        """Let go of its pipes, which something it left behind may hold open. asyncio has no public way to do this."""
        self._process._transport.close()  # type: ignore[attr-defined]
