"""Gives data to an exchange and gets the data of all members; see :class:`linesync.client.operations.Operations`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from typing import IO, BinaryIO, Protocol, TypeAlias

from .. import protocol
from ..errors import OTHERS_MAY_HAVE_IT, BrokenError, EndOfStream, LinesyncError, LinesyncFailed, UsageError
from ..jobs.paths import Source
from ..protocol import ExchangeOpen, ExchangePart, FileEnd
from ..protocol.operations import effect, given_up
from ..runtime.conversation import Conversation
from ..runtime.desk import Behind, Desk
from ..runtime.driver import Timeout
from ..runtime.streams import MESSAGE, Item, Stream
from .deadlines import GRACE, limit, remaining, silence

__all__ = ["Data", "ExchangeProgress", "Sink", "exchange"]

Data: TypeAlias = bytes | bytearray | memoryview | os.PathLike[str] | BinaryIO
"""Bytes, the path of a regular file, or a binary file, which is read from its current position to its end. The asyncio
client reads and writes files in other threads, one call at a time, and the blocking client if there is a timeout."""
Sink: TypeAlias = Callable[[str], IO[bytes]]
"""Called with a member's name; returns the file to which that member's bytes are written, and which is then closed."""
ExchangeProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with (``giving`` or ``getting``, bytes so far, total bytes)."""

_PAUSE = 30.0  # seconds without data after which an exchange with a timeout is given up
_CHUNK = 1 << 16
_READ = 4 * _CHUNK  # bytes read from a file at once
_IN_MEMORY = 1 << 20  # bytes from a source of unknown length that stay in memory; more go to a temporary file
_MOST = 1 << 30  # the maximum bytes that are read from such a source


class _Reader(Protocol):
    """A source of data."""

    def read(self, size: int, /) -> bytes: ...


async def exchange(
    peer: Conversation,
    opening: ExchangeOpen,
    members: Sequence[str],
    data: Data,
    sink: Sink | None,
    progress: ExchangeProgress | None,
) -> dict[str, bytes] | dict[str, int]:
    """Give data, and get the data of all members when all members have given their data.

    :param opening: the request, without the size of the data.
    :param members: their names, sorted.
    :raises: the errors of :meth:`linesync.client.operations.Operations.exchange`.
    """
    shown = os.fsdecode(data) if isinstance(data, os.PathLike) else "the data to give"
    job = _Exchange(peer, opening, shown, progress)
    async with limit(peer, opening.timeout, job.late) as scope:
        return await job.work(scope, members, data, sink)


class _Exchange:
    """One exchange. It gives our data when the hub asks for it, and gets the data of all."""

    def __init__(
        self, peer: Conversation, opening: ExchangeOpen, shown: str, progress: ExchangeProgress | None
    ) -> None:
        self._peer = peer
        self._opening = opening
        self._shown = shown
        self._progress = progress
        self._begin = peer.now()
        self._again = bool(opening.arrival)  # this may be a retry of an arrival whose data the hub already has
        self._left: int | None = None  # the bytes of our data that were not sent yet, when their number is known

    @property
    def _possible_effect(self) -> str:
        """The possible effect if the hub reports no outcome. The hub uses our data only when it has all of it."""
        return effect(self._opening) if self._again or self._left == 0 else ""

    def late(self, after: float) -> LinesyncError:
        """The error if the hub was silent for too long."""
        return self._over(f"was given up: {silence(after)}", deadline=self._opening.timeout)

    def _passed(self) -> float | None:
        """The timeout if it has passed, or None."""
        timeout = self._opening.timeout
        return timeout if timeout is not None and self._peer.now() - self._begin >= timeout else None

    def _over(self, how: str, *, deadline: float | None = None) -> LinesyncError:
        what = f"exchange '{self._opening.name}' {how}"
        return given_up(what, self._possible_effect, deadline=deadline, check="check with them")

    async def work(
        self, scope: Timeout, members: Sequence[str], data: Data, sink: Sink | None
    ) -> dict[str, bytes] | dict[str, int]:
        stack = ExitStack()
        desk = self._peer.desk(self._shown)
        try:
            try:
                source, size = await desk.do(partial(_open, data, stack))
            except OSError as error:
                raise LinesyncFailed(
                    f"cannot read {self._shown}: {error.strerror or error}; check its path and mode"
                ) from None
            timeout = remaining(self._opening.timeout, self._peer.now() - self._begin)
            stream = self._peer.open(protocol.encode(self._opening.but(size=size, timeout=timeout)))
            desk = stream.desk(self._shown)
            try:
                channel = _LimitedChannel(stream, scope, timeout)
                await self._give(channel, desk, source, size)
                got = await _get(channel, members, sink, self._progress)
            except (BrokenError, EndOfStream) as error:
                raise self._over(f"was interrupted: {error.message}", deadline=self._passed()) from None
            except OSError as error:
                stream.reset(protocol.GIVEN_UP)
                raise self._over(f"was given up: {error.strerror or error}") from None
            except BaseException:
                stream.reset(protocol.GIVEN_UP)
                raise
        finally:
            await desk.close(stack.close)
        stream.end()  # this confirms the exchange
        return got

    async def _give(self, channel: _LimitedChannel, desk: Desk, source: _Reader, size: int) -> None:
        stream = channel.stream
        had = protocol.read_reply(await stream.receive_message()) == ["had"]
        self._left = 0 if had else size
        while self._left:
            desk.start(partial(source.read, min(_READ, self._left)))
            data = await desk.finish(partial(self._check_for_error, stream))
            if not data:
                raise LinesyncFailed(
                    f"the data to give ended {self._left:,} bytes early; do not change the file until it has been sent"
                )
            for begin in range(0, len(data), _CHUNK):
                channel.giving()
                await self._send(stream, data[begin : begin + _CHUNK], size)

    async def _send(self, stream: Stream, chunk: bytes, size: int) -> None:
        assert self._left is not None
        self._left -= len(chunk)
        await stream.send(0, chunk)
        self._check_for_error(stream)
        if self._progress is not None:
            queued = min(stream.queued, size - self._left)
            self._progress("giving", size - self._left - queued, size)

    def _check_for_error(self, stream: Stream) -> None:
        """Raise the error that the hub has sent before it had received all data, if any."""
        item = stream.receive_nowait() if self._left else None
        if item is not None:
            raise protocol.read_error(_text(item)) or _unexpected_message()


class _LimitedChannel:
    """The channel of an exchange whose time is limited.

    The timeout limits the time to give the data. A poll, with the timeout 0, may send its data for longer. When all members
    have given, the transfer may take longer, as long as data arrives without a long pause.
    """

    def __init__(self, stream: Stream, scope: Timeout, timeout: float | None) -> None:
        self.stream = stream
        self._scope = scope
        self._timeout = timeout

    def giving(self) -> None:
        if self._timeout == 0:
            self._scope.reschedule(self.stream.now() + _PAUSE)

    async def receive(self) -> Item:
        item = await self.stream.receive()
        if self._timeout is not None:
            self._scope.reschedule(self.stream.now() + max(self._timeout + GRACE, _PAUSE))
        return item


# -- giving -----------------------------------------------------------------------------------------------------------


def _open(data: Data, stack: ExitStack) -> tuple[_Reader, int]:
    """Open the source of the data. Return it and the number of its bytes."""
    if isinstance(data, bytes | bytearray | memoryview):
        return BytesIO(data), memoryview(data).nbytes
    if isinstance(data, os.PathLike):
        path = os.fsdecode(data)
        source = Source(path, path, advice="pipe the contents of anything else to stdin")
        stack.callback(source.close)
        if source.size:
            return source, source.size
        file: IO[bytes] = stack.enter_context(_spooled(source))
    else:
        file = data
    if not file.seekable() or not (size := _size(file)):  # files of /proc and devices report the size 0
        file = stack.enter_context(_spooled(file))
        size = _size(file)
    return file, size


def _size(file: IO[bytes]) -> int:
    """The number of bytes from the current position to the end; 0 if it is not known."""
    here = file.tell()
    try:
        size = file.seek(0, os.SEEK_END) - here
    except OSError:  # some files of /proc
        return 0
    file.seek(here)
    return size


def _spooled(file: _Reader) -> IO[bytes]:
    """Copy a pipe or a file of /proc to a temporary file, because the hub must know the number of bytes in advance.

    :raises UsageError: it has more than 1 GiB.
    """
    from tempfile import SpooledTemporaryFile  # slow to import, and only pipes need it

    copy = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    while chunk := file.read(_CHUNK):
        copy.write(chunk)
        if copy.tell() > _MOST:
            copy.close()
            raise UsageError(f"the data to give does not end within {_MOST:,} bytes; give less")
    copy.seek(0)
    return copy


# -- getting ----------------------------------------------------------------------------------------------------------


async def _get(
    channel: _LimitedChannel, members: Sequence[str], sink: Sink | None, progress: ExchangeProgress | None
) -> dict[str, bytes] | dict[str, int]:
    """Receive the data of all members and check it."""
    from hashlib import sha256  # slow to import, and only exchanges need it

    digest, held, sizes = sha256(), {}, {}
    done = total = 0
    for member in members:
        part = _message(await channel.receive(), ExchangePart)
        assert isinstance(part, ExchangePart)
        if part.member != member:
            raise _unexpected_message()
        total = total or part.total
        receiver = _Part(channel.stream, member, sink)
        try:
            await receiver.open()
            left = part.size
            while left:
                item = await channel.receive()
                if item.stream == MESSAGE or len(item.data) > left:
                    raise protocol.read_error(_text(item)) or _unexpected_message()
                left -= len(item.data)
                done += len(item.data)
                digest.update(item.data)
                await receiver.put(item.data)
                if progress is not None:
                    progress("getting", done, max(total, done))
            held[member] = await receiver.all()
        finally:
            await receiver.close()
        sizes[member] = part.size
    end = _message(await channel.receive(), FileEnd)
    assert isinstance(end, FileEnd)
    if end.sha256 != digest.hexdigest():
        raise LinesyncFailed(
            f"the exchanged data arrived damaged (its SHA-256 differs from the hub's); {OTHERS_MAY_HAVE_IT} repeat it"
        )
    return held if sink is None else sizes


class _Part:
    """Receives one member's bytes, in memory or into the file of the sink."""

    def __init__(self, stream: Stream, member: str, sink: Sink | None) -> None:
        self._member = member
        self._sink = sink
        self._held: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._desk = stream.desk(f"the data of {member}")
        self._behind = Behind(self._desk, self._write, _READ)

    async def open(self) -> None:
        if self._sink is not None:
            await self._desk.do(self._open)

    async def put(self, data: bytes) -> None:
        if self._sink is None:
            self._held.append(data)
        else:
            await self._behind.put(data)

    async def all(self) -> bytes:
        """Finish, because all bytes have arrived. Return those that are in memory."""
        if self._sink is not None:
            await self._behind.flush()
            await self._desk.do(self._close)
        return b"".join(self._held)

    async def close(self) -> None:
        if self._sink is not None:
            await self._desk.close(self._close)

    def _open(self) -> None:
        assert self._sink is not None
        self._file = self._sink(self._member)

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _message(item: Item, kind: type[protocol.Message]) -> protocol.Message:
    if item.stream != MESSAGE:
        raise _unexpected_message()
    error = protocol.read_error(_text(item))
    if error is not None:
        raise error
    return protocol.decode(_text(item), kind)


def _text(item: Item) -> str:
    return item.data.decode("utf-8", "replace")


def _unexpected_message() -> LinesyncError:
    return LinesyncFailed("the hub sent an unexpected message; install the same version of linesync on hub and client")
