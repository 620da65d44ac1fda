"""Runs commands as the steps of services: on this machine, or on another host through its agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from ... import protocol
from ...errors import BrokenError, EndOfStream, LinesyncError, LinesyncFailed
from ...jobs.process import Output, Runner
from ...model.groups.declarations_file import ServicesFile
from ...runtime.streams import MESSAGE
from ..aio import Client
from ..operations import CommandResult, Running, command_line
from .service import AGAIN, Round, Service, Step

__all__ = ["AGAIN_STATUS", "local_services", "remote_services"]

AGAIN_STATUS = 75  # EX_TEMPFAIL: a ``process`` command that ends with this exit status is called again
_TAIL = 200  # the maximum number of characters that an error repeats from the last line on stderr
_LAST_OUTPUT = 1.0  # seconds for reading the rest of the output after a command has ended
_TERM, _KILL = 15, 9
_PATIENCE = ((_TERM, 3.0), (_KILL, 10.0))
"""The signals that end a command on another host, each with the seconds to wait for the end."""

OutputCallback = Callable[[str, int, bytes], None]
"""Called with the name of the service, 1 for stdout or 2 for stderr, and the output of the command."""


def local_services(file: ServicesFile, runner: Runner, output: OutputCallback) -> list[Service]:
    """Return the services of a file. Their commands run on this machine."""

    def command(service: str, step: str, argv: Sequence[str]) -> Step:
        return _LocalCommand(runner, service, step, argv, output)

    return _services(file, command)


def remote_services(
    file: ServicesFile, client: Client, host: str, output: OutputCallback, variables: Mapping[str, str]
) -> list[Service]:
    """Return the services of a file. Their commands run on a host through its agent.

    :param variables: additional environment variables of the commands.
    """

    def command(service: str, step: str, argv: Sequence[str]) -> Step:
        return _RemoteCommand(client, host, service, step, argv, output, variables)

    return _services(file, command)


def _services(file: ServicesFile, command: Callable[[str, str, Sequence[str]], Step]) -> list[Service]:
    return [
        Service.declared(
            declaration,
            {
                step: command(declaration.name, step, argv)
                for step, argv in file.commands.get(declaration.name, {}).items()
            },
        )
        for declaration in file.services
    ]


def environment(round_: Round, service: str, step: str) -> dict[str, str]:
    """Return the environment variables for a command. Blanks separate the items of a list."""
    return {
        "LINESYNC_GROUP": round_.group,
        "LINESYNC_RING": round_.ring,
        "LINESYNC_MEMBER": round_.member,
        "LINESYNC_MEMBERS": " ".join(round_.members),
        "LINESYNC_JOINED": " ".join(round_.joined),
        "LINESYNC_LEFT": " ".join(member for member, _ in round_.left),
        "LINESYNC_CARRIED": " ".join(round_.carried),
        "LINESYNC_INDEX": str(round_.index),
        "LINESYNC_SERVICE": service,
        "LINESYNC_STEP": step,
    }


def _as_hosts(round_: Round) -> Round:
    """Return the round with the names of the hosts (``sut``) instead of the members on the controller (``hub#sut``)."""
    controller = f"{round_.member.partition('#')[0]}#"

    def hosts(members: Iterable[str]) -> tuple[str, ...]:
        return tuple(member.removeprefix(controller) for member in members)

    return round_.but(
        member=round_.member.removeprefix(controller),
        members=hosts(round_.members),
        joined=hosts(round_.joined),
        left=tuple((member.removeprefix(controller), cause) for member, cause in round_.left),
        carried=hosts(round_.carried),
    )


class _Command:
    """A step that runs a command. Its subclasses know where the command runs."""

    def __init__(self, service: str, step: str, argv: Sequence[str], output: OutputCallback) -> None:
        self._service = service
        self._step = step
        self._argv = list(argv)
        self._output = output
        self._tail = b""
        self._pid = 0

    @property
    def waits_for(self) -> str:
        """The running command, for error messages."""
        pid = f" (pid {self._pid})" if self._pid else ""
        return f"the command '{command_line(self._argv)}'{pid}"

    async def __call__(self, round_: Round) -> object:
        self._tail, self._pid = b"", 0
        result = await self._call(environment(self._seen(round_), self._service, self._step))
        if result.status == 0:
            return None
        if result.status == AGAIN_STATUS and self._step == "process":
            return AGAIN
        how = f"exited with code {result.status}" if result.signal is None else f"was killed by signal {result.signal}"
        last = self._tail.decode("utf-8", "replace").rstrip().rpartition("\n")[2].strip()
        last = "".join(char if char.isprintable() else "?" for char in last[:_TAIL])
        raise LinesyncFailed(f"the command '{command_line(self._argv)}' {how}{': ' if last else ''}{last}")

    def _seen(self, round_: Round) -> Round:
        """Return the round that the variables of the command describe."""
        return round_

    async def _call(self, env: Mapping[str, str]) -> CommandResult:
        """Run the command until all its processes have ended."""
        raise NotImplementedError

    def _wrote(self, number: int, data: bytes) -> None:
        if number == 2:
            self._tail = (self._tail + data)[-4 * _TAIL :]
        if self._step != "check":  # a check runs repeatedly, and an error repeats its last line
            self._output(self._service, number, data)


class _LocalCommand(_Command):
    """A command on this machine. Its supervisor ends it if this process is killed."""

    def __init__(self, runner: Runner, service: str, step: str, argv: Sequence[str], output: OutputCallback) -> None:
        super().__init__(service, step, argv, output)
        self._runner = runner

    async def _call(self, env: Mapping[str, str]) -> CommandResult:
        process = await self._runner.start(self._argv, env=env)
        self._pid = process.pid
        readers = [asyncio.create_task(self._read(number, pipe)) for number, pipe in process.outputs.items()]
        try:
            status = await process.wait()
        finally:
            try:
                await process.end_and_wait()  # also end the remaining processes of the command, so that the pipes end
                await asyncio.wait(readers, timeout=_LAST_OUTPUT)
            finally:
                for reader in readers:
                    reader.cancel()
                await asyncio.wait(readers)
                process.close()
        return CommandResult(status=status, signal=None) if status >= 0 else CommandResult(status=None, signal=-status)

    async def _read(self, number: int, pipe: Output) -> None:
        while data := await pipe.read():
            self._wrote(number, data)


class _RemoteCommand(_Command):
    """A command on a host, through its agent. The agent ends it if the connection is lost."""

    def __init__(
        self,
        client: Client,
        host: str,
        service: str,
        step: str,
        argv: Sequence[str],
        output: OutputCallback,
        variables: Mapping[str, str],
    ) -> None:
        super().__init__(service, step, argv, output)
        self._client = client
        self._host = host
        self._variables = variables

    @property
    def waits_for(self) -> str:
        return f"{super().waits_for} on {self._host}"

    def _seen(self, round_: Round) -> Round:
        return _as_hosts(round_)

    async def _call(self, env: Mapping[str, str]) -> CommandResult:
        stream = self._client.start(self._host, self._argv, env={**self._variables, **env}, tell=True)
        running = Running(stream)
        try:
            return await self._until_ended(running)
        except (BrokenError, EndOfStream) as error:
            raise running.lost(error.message) from None
        except asyncio.CancelledError:
            await self._end(running)
            raise

    async def _until_ended(self, running: Running) -> CommandResult:
        while True:
            item = await running.stream.receive()
            if item.stream != MESSAGE:
                self._wrote(item.stream, item.data)
                continue
            result = running.handle_message(item.data.decode("utf-8", "replace"))
            self._pid = running.pid
            if result is not None:
                return result

    async def _end(self, running: Running) -> None:
        """End the command. The host reports the end after all processes of the command have ended."""
        with suppress(LinesyncError):  # the command ended with an error, or the host is lost and ends the command
            for number, seconds in _PATIENCE:
                running.stream.send_message(protocol.encode(protocol.Kill(signal=number)))
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._until_ended(running)
                        return
        running.stream.reset(protocol.GIVEN_UP)  # if the command still runs, its host ends it
