"""The operations of clients on detached processes."""

from __future__ import annotations

import os

from ... import protocol
from ...errors import BrokenError, EndOfStream, LinesyncError, LinesyncFailed, TimedOut
from ...frozen_record import Record
from ...protocol.operations import given_up
from ...runtime import identity
from ...runtime.channels.streams import MESSAGE, Item, Stream
from ...wire.framing.frames import Lane
from ..arguments import an_instance, checked, flag
from ..deadlines import limit, silence
from ..results import CommandResult, OutputCallback
from ..states import read_json, read_state
from ..sync import SyncOperations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...model.state.process import ProcessState
    from ..requests import Requests

__all__ = ["Attachment", "DetachedOperations", "KeptOutput"]

_RUN_IDS = (1 << 24) - 1


class KeptOutput(Record):
    """The output of a detached process that its host has kept."""

    pieces: tuple[tuple[int, bytes], ...]
    """The stream (1: stdout, 2: stderr) and the bytes of each piece, in the order in which the host read them."""
    dropped: int
    """The number of bytes before this output that the host has dropped."""
    position: int
    """The position after this output, as ``since`` for the next call."""

    @property
    def stdout(self) -> bytes:
        """The bytes of stdout."""
        return b"".join([data for stream, data in self.pieces if stream == 1])

    @property
    def stderr(self) -> bytes:
        """The bytes of stderr."""
        return b"".join([data for stream, data in self.pieces if stream == 2])


class Attachment:
    """A channel to a detached process.

    :param open: opens the channel at a position of the output. None means the first position that the caller wants.
    :param on_dropped: as for :meth:`DetachedOperations.attach_process`. The same applies to ``on_lost``.
    :ivar process: the handle of the process.
    :ivar host: its host.
    :ivar stdin: whether the stdin of the process gets stream 0.
    :ivar stream: the channel.
    :ivar position: the position of the next byte of output; None before it is known.
    :ivar dropped: the number of bytes of output that the host has dropped and that this client wanted.
    """

    def __init__(
        self,
        process: str,
        open: Callable[[int | None], Stream],
        on_dropped: Callable[[int], None] | None = None,
        on_lost: Callable[[str], None] | None = None,
        *,
        stdin: bool = False,
    ) -> None:
        self.process = process
        self.stdin = stdin
        self.host = process.partition("/")[0]
        self.position: int | None = None
        self.dropped = 0
        self._open = open
        self._on_dropped = on_dropped
        self.on_lost = on_lost
        self.stream = open(None)

    def reopen(self) -> None:
        """Open another channel, which continues at the same position of the output."""
        self.stream = self._open(self.position)

    async def result(self, on_output: OutputCallback | None) -> CommandResult:
        """Wait for the end of the process. Raises the errors of :meth:`handle`, and those of :meth:`Stream.receive`."""
        while (result := self.handle(await self.stream.receive(), on_output)) is None:
            pass
        return result

    def handle(self, item: Item, on_output: OutputCallback | None) -> CommandResult | None:
        """Handle an item of the channel.

        :returns: the result, if the item reports the end of the process.
        :raises LinesyncError: the item is an error.
        """
        if item.stream != MESSAGE:
            self.position = (self.position or 0) + len(item.data)
            if on_output is not None:
                on_output(item.stream, item.data)
            return None
        text = item.data.decode("utf-8", "replace")
        error = protocol.read_error(text)
        if error is not None:
            self.stream.finish()
            raise error
        message = protocol.decode(text, protocol.At, protocol.Exited)
        if isinstance(message, protocol.At):
            self.position = message.position
            self.dropped += message.dropped
            if message.dropped and self._on_dropped is not None:
                self._on_dropped(message.dropped)
            return None
        assert isinstance(message, protocol.Exited)
        self.stream.finish()
        killed = message.status < 0
        return CommandResult(status=None if killed else message.status, signal=-message.status if killed else None)

    def lost(self, why: str) -> LinesyncFailed:
        """The error if the channel cannot continue."""
        return LinesyncFailed(
            f"the connection to process {self.process} was lost: {why}; the process may continue on {self.host}, so attach"
            " to it again"
        )


class DetachedOperations(SyncOperations):
    """Operations on detached processes, which belong to their host. A process is named by its handle, such as ``sut/3``."""

    _run_id = 0
    """The id of the last command."""

    def _open_run(self, request: protocol.Run, hidden: bytes | None = None, lane: Lane = Lane.BULK) -> Stream:
        """Open the channel of a command. It continues after a restart of the hub.

        :param hidden: the prefix of messages that the caller does not get.
        """
        request = request.but(id=self._next_run_id())
        began = self.peer.now()

        def again(position: int) -> str:
            return protocol.encode(request.but(Got=position, age=self.peer.now() - began))

        return self.peer.streams.open_resumable(protocol.encode(request), again, hidden, lane)

    def _next_run_id(self) -> int:
        """The id of a new command. The first id is random, because a host must not confuse the commands of its clients. Later
        ids cost fewer bytes on the line, because they differ little from the id before."""
        self._run_id = (self._run_id or int.from_bytes(identity.entropy(3), "big")) % _RUN_IDS + 1
        return self._run_id

    @checked(stdin=flag)
    async def start_detached(
        self,
        host: str,
        argv: list[str] | tuple[str, ...],
        *,
        cwd: str | os.PathLike[str] = "",
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
        end_after: float | None = None,
        user: str = "",
        clear_env: bool = False,
        timeout: float | None = None,
    ) -> str:
        """Start a detached process on a host. The process belongs to the host: it continues after the end of this client, of
        the agent, of the hub and of the line. The host keeps its output, within a limit, and its exit status.

        ::

            process = await client.start_detached("sut", ["sh", "-c", "echo begun; exit 3"])
            print(process.partition("/")[0])  # sut
            result = await client.wait_process(process)
            print(result.exit_code)  # 3
            print((await client.process_log(process)).stdout)  # b'begun\\n'

        :param stdin: whether the process has a stdin, to which clients can attach; otherwise its stdin is empty.
        :param end_after: seconds after which the host ends the process, or None.
        :param timeout: seconds within which the host must have started the process. The other parameters are those of
            :meth:`run`.
        :returns: the handle of the process, such as ``sut/3``.
        :raises CommandNotFound, CannotExecute: the host could not start the command.
        :raises LinesyncFailed: the host runs too many detached processes, or was lost. The message says whether the process
            may have been started.
        """
        import json

        request = protocol.Run(
            to=host,
            argv=tuple(argv),
            cwd=os.fspath(cwd),
            env=json.dumps(dict(env)) if env else "",
            stdin=stdin,
            timeout=end_after,
            User=user,
            Detach=True,
            Clear=clear_env,
        )

        def failed(why: str) -> LinesyncError:
            check = f"look with 'linesync proc ls {host}'"
            return given_up(
                f"the request to start {argv[0]} on {host} was not answered: {why}",
                "the process may have been started",
                check=check,
            )

        async with limit(self.peer, timeout, lambda after: failed(silence(after))):
            stream = self._open_run(request)
            text = await _last_message(stream, failed)
        message = protocol.decode(text, protocol.Detached)
        assert isinstance(message, protocol.Detached)
        return f"{host}/{message.number}"

    @checked()
    async def processes(self, host: str, *, timeout: float | None = None) -> list[ProcessState]:
        """The detached processes of a host, in the order of their start. The host remembers the last 100 processes that have
        ended, for at most seven days.
        """
        from ...model.state.process import ProcessState

        def failed(why: str) -> LinesyncError:
            return given_up(f"the processes of {host} cannot be listed: {why}", "", deadline=timeout)

        lines = bytearray()
        async with limit(self.peer, timeout, lambda after: failed(silence(after))):
            stream = self.peer.open(protocol.encode(protocol.Processes(to=host)))
            try:
                while True:
                    item = await stream.receive()
                    if item.stream != MESSAGE:
                        lines += item.data
                    elif (error := protocol.read_error(item.data.decode("utf-8", "replace"))) is not None:
                        stream.finish()
                        raise error
            except EndOfStream:
                stream.finish()
            except BrokenError as error:
                raise failed(error.message) from None
            except BaseException:
                stream.reset(protocol.GIVEN_UP)
                raise
        return [read_state(ProcessState, read_json(bytes(line))) for line in lines.splitlines()]

    @checked()
    async def wait_process(
        self,
        process: str,
        *,
        on_output: OutputCallback | None = None,
        since: int = 0,
        tail: int | None = None,
        timeout: float | None = None,
    ) -> CommandResult:
        """Wait until a detached process has ended. If the host is lost, this method waits until it is back, because the
        process continues.

        :param on_output: called with the kept output and with new output; without it, the output is not sent.
        :param since: the position of the first byte of output.
        :param tail: begin with this number of lines at the end of the kept output, instead of ``since``.
        :param timeout: seconds within which the process must have ended. After that, it continues.
        :returns: the result, without output.
        :raises TimedOut: the process has not ended in time, or its host ended it at its time limit.
        :raises LinesyncFailed: the exit status is not known: the host restarted, or the supervisor was killed.
        :raises UsageError: there is no such process.
        """
        attachment = self.attach_process(process, since=since, tail=tail, output=on_output is not None)
        return await self.follow_process(attachment, on_output, timeout=timeout)

    @checked(stdin=flag)
    def attach_process(
        self,
        process: str,
        *,
        since: int = 0,
        tail: int | None = None,
        output: bool = True,
        stdin: bool = False,
        on_dropped: Callable[[int], None] | None = None,
        on_lost: Callable[[str], None] | None = None,
    ) -> Attachment:
        """Attach to a detached process without waiting. Its output arrives on streams 1 and 2 of the channel.

        ::

            process = await client.start_detached("sut", ["head", "-n", "1"], stdin=True)
            attachment = client.attach_process(process, stdin=True)
            attachment.stream.send_nowait(0, b"a line\\n")
            output = []
            result = await client.follow_process(attachment, lambda stream, data: output.append(data))
            print(result.exit_code, output)  # 0 [b'a line\\n']

        :param output: whether the host sends the output.
        :param stdin: whether the process reads stream 0. It must have been started with ``stdin``.
        :param on_dropped: called with the number of bytes that the host has dropped before the next output.
        :param on_lost: called with the reason when :meth:`follow_process` begins to wait for a host that is lost. The other
            parameters are those of :meth:`wait_process`.
        """
        host, _, number = process.partition("/")

        def open(position: int | None) -> Stream:
            request = protocol.Attach(
                to=host,
                number=int(number),
                output=output,
                follow=True,
                since=since if position is None else position,
                tail=tail if position is None else None,
                stdin=stdin,
            )
            return self.peer.open(protocol.encode(request))

        return Attachment(process, open, on_dropped, on_lost, stdin=stdin)

    @checked(attachment=an_instance(Attachment, "the result of attach_process()"))
    async def follow_process(
        self, attachment: Attachment, on_output: OutputCallback | None = None, *, timeout: float | None = None
    ) -> CommandResult:
        """Wait until a process to which :meth:`attach_process` attached has ended. Raises the errors of
        :meth:`wait_process`. If this client has attached to the stdin of the process, the loss of the host is an error, too,
        because bytes for stdin may be lost.

        :param on_output: called with the output as it arrives.
        :returns: the result, without output.
        """

        def late(_: float) -> LinesyncError:
            return TimedOut(
                f"timed out after {timeout:g} s: no end of process {attachment.process} was reported; nothing was changed"
            )

        try:
            async with limit(self.peer, timeout, late, 0.0):
                while True:
                    try:
                        return await attachment.result(on_output)
                    except (BrokenError, EndOfStream) as error:
                        await _attach_again(self, attachment, error.message)
        except LinesyncError:
            raise
        except BaseException:
            attachment.stream.reset(protocol.GIVEN_UP)
            raise

    @checked()
    async def process_log(
        self, process: str, *, since: int = 0, tail: int | None = None, timeout: float | None = None
    ) -> KeptOutput:
        """The kept output of a detached process. The process may still run.

        :param since: the position of the first byte, such as the ``position`` of an earlier result.
        :param tail: only this number of lines at the end.
        :raises UsageError: there is no such process.
        """
        host, _, number = process.partition("/")
        pieces: list[tuple[int, bytes]] = []

        def failed(why: str) -> LinesyncError:
            return given_up(f"the output of process {process} cannot be read: {why}", "", deadline=timeout)

        def open(_: int | None) -> Stream:
            request = protocol.Attach(to=host, number=int(number), output=True, since=since, tail=tail)
            return self.peer.open(protocol.encode(request))

        async with limit(self.peer, timeout, lambda after: failed(silence(after))):
            attachment = Attachment(process, open)
            try:
                await attachment.result(lambda number, data: pieces.append((number, data)))
            except EndOfStream:
                attachment.stream.finish()
            except BrokenError as error:
                raise failed(error.message) from None
            except LinesyncError:
                raise
            except BaseException:
                attachment.stream.reset(protocol.GIVEN_UP)
                raise
        return KeptOutput(pieces=tuple(pieces), dropped=attachment.dropped, position=attachment.position or 0)

    @checked()
    async def kill_process(self, process: str, signal: str | int = 0, *, timeout: float | None = None) -> None:
        """Send a signal to all processes of a detached process, also to those that have begun their own session.

        :param signal: the name (``"INT"``) or the number of the signal; 0 to end the processes (SIGTERM, then SIGKILL after
            3 s) and to wait for their end.
        :raises UsageError: there is no such process or signal, or the process has ended and cannot get a signal.
        :raises LinesyncFailed: the processes have not ended, or the host was lost.
        """
        host, _, number = process.partition("/")

        def failed(why: str) -> LinesyncError:
            return given_up(
                f"the request to send a signal to process {process} was not answered: {why}",
                "the process may have got the signal",
                check=f"look with 'linesync proc ls {host}'",
            )

        async with limit(self.peer, timeout, lambda after: failed(silence(after))):
            request = protocol.SignalProcess(to=host, number=int(number), signal=int(signal))
            await _last_message(self.peer.open(protocol.encode(request)), failed)


async def _attach_again(client: Requests, attachment: Attachment, why: str) -> None:
    """Wait until the host of a process is back, and attach again.

    :param why: the reason for the end of the channel.
    """
    if attachment.stdin:
        raise attachment.lost(why)
    if (
        attachment.on_lost is not None and not client.peer.interrupted
    ):  # otherwise the client reports that the hub is lost
        attachment.on_lost(why)
    from ..hosts import wait_host
    from ..operations import Operations

    assert isinstance(client, Operations)
    try:
        if attachment.host == "hub":
            await client.hosts()  # while the hub restarts, this request waits
        else:
            await wait_host(client, attachment.host, "", None)
        attachment.reopen()
    except LinesyncFailed as error:
        raise attachment.lost(error.message) from None


async def _last_message(stream: Stream, failed: Callable[[str], LinesyncError]) -> str:
    """Wait for the only message of a channel, and return its text.

    :param failed: makes the error for a channel that was lost.
    :raises LinesyncError: the message is an error.
    """
    try:
        text = await stream.receive_message()
    except (BrokenError, EndOfStream) as error:
        raise failed(error.message) from None
    except BaseException:
        stream.reset(protocol.GIVEN_UP)
        raise
    stream.finish()
    refused = protocol.read_error(text)
    if refused is not None:
        raise refused
    return text
