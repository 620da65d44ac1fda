"""The exchange operation, in addition to the other operations."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from typing import IO, BinaryIO, Protocol, TypeAlias, overload

from .. import protocol
from ..errors import OTHERS_MAY_HAVE_IT, BrokenError, EndOfStream, LinesyncError, LinesyncFailed, UsageError
from ..jobs.paths import Source
from ..model.hosts.members import fold, unfold
from ..model.participants import check_member
from ..protocol import ExchangeOpen, ExchangePart, FileEnd
from ..runtime.desk import Behind, Desk
from ..runtime.streams import MESSAGE, Item, Stream
from .operations import Operations

__all__ = ["Data", "ExchangeOperations", "ExchangeProgress", "Sink"]

Data: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO
"""Bytes, the path of a regular file, or a binary file, which is read from its current position to its end. The asyncio client
reads and writes files in other threads, one call at a time."""
Sink: TypeAlias = Callable[[str], IO[bytes]]
"""Called with a member's name; returns the file to which that member's bytes are written, and which is then closed."""
ExchangeProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with (``giving`` or ``getting``, bytes so far, total bytes)."""

_CHUNK = 1 << 16
_READ = 4 * _CHUNK  # bytes read from a file at once
_IN_MEMORY = 1 << 20  # bytes from a source of unknown length that stay in memory; more go to a temporary file
_MOST = 1 << 30  # the maximum bytes that are read from such a source


class _Reader(Protocol):
    """A source of data."""

    def read(self, size: int, /) -> bytes: ...


class ExchangeOperations(Operations):
    """Operations that exchange data."""

    @overload
    async def exchange(
        self,
        name: str,
        members: Iterable[str] | str,
        data: Data,
        *,
        member: str = "",
        timeout: float | None = None,
        namespace: str = "default",
        arrival: str = "",
        within: str = "",
        sink: None = None,
        progress: ExchangeProgress | None = None,
    ) -> dict[str, bytes]: ...

    @overload
    async def exchange(
        self,
        name: str,
        members: Iterable[str] | str,
        data: Data,
        *,
        member: str = "",
        timeout: float | None = None,
        namespace: str = "default",
        arrival: str = "",
        within: str = "",
        sink: Sink,
        progress: ExchangeProgress | None = None,
    ) -> dict[str, int]: ...

    async def exchange(
        self,
        name: str,
        members: Iterable[str] | str,
        data: Data,
        *,
        member: str = "",
        timeout: float | None = None,
        namespace: str = "default",
        arrival: str = "",
        within: str = "",
        sink: Sink | None = None,
        progress: ExchangeProgress | None = None,
    ) -> dict[str, bytes] | dict[str, int]:
        """Give data, and get the data of all members when all have given theirs.

        :param members: the members, each ``host`` or ``host#tag``; all callers must name the same ones. A text is a folded
            list (``sut[1-8],hub``).
        :param data: the data that we give. A file is never in memory as a whole.
        :param member: the member that we are, one of ``members``; empty for this host.
        :param timeout: seconds within which all must give; 0 succeeds only if all others have already given, None waits
            without limit.
        :param arrival: an id for callers that repeat a request after a lost reply. The same id counts once, and gets the
            same data again for ten minutes.
        :param within: the id of a hold that we have meanwhile; the hub then finds a deadlock through it.
        :param sink: returns a file for each member's bytes, which are then not kept in memory. If this raises an error, the
            contents of these files are invalid.
        :param progress: called as the data is sent and received.
        :returns: each member's bytes (with ``sink``: their number), sorted by name. Their SHA-256 was checked.
        :raises TimedOut: names the members that gave, and those that are missing with the reason.
        :raises MemberLost: a member was lost before it gave its data.
        :raises Mismatch: others named other members, ``member`` is not one of them, or it has already arrived.
        :raises UsageError: the data exceeds the hub's limit for a member (16 MiB by default); nothing was sent.
        :raises LinesyncFailed: the hub or the line is gone, or the data cannot be read or written here.
        """
        names = sorted(set(unfold(members) if isinstance(members, str) else members))
        for one in names:
            check_member(one)
        stack = ExitStack()
        shown = os.fsdecode(data) if isinstance(data, str | os.PathLike) else "the data to give"
        desk = self.peer.desk(shown)
        try:
            try:
                source, size = await desk.do(partial(_open, data, stack))
            except OSError as error:
                raise LinesyncFailed(
                    f"cannot read {shown}: {error.strerror or error}; check its path and mode"
                ) from None
            opening = ExchangeOpen(
                name=name,
                members=fold(names),
                size=size,
                ns=namespace,
                timeout=timeout,
                member=member,
                arrival=arrival,
                within=within or self.within,
            )
            stream = self.peer.open(protocol.encode(opening))
            desk = stream.desk(shown)
            giving = _Giving(stream, desk, source, size, progress, again=bool(arrival))
            try:
                await giving.work()
                got = await _get(stream, names, sink, progress)
            except (BrokenError, EndOfStream) as error:
                raise LinesyncFailed(f"exchange '{name}' was interrupted: {error.message}; {giving.effect}") from None
            except OSError as error:
                stream.reset(protocol.GIVEN_UP)
                why = error.strerror or error
                raise LinesyncFailed(f"exchange '{name}' was given up: {why}; {giving.effect}") from None
            except BaseException:
                stream.reset(protocol.GIVEN_UP)
                raise
        finally:
            await desk.close(stack.close)
        stream.end()  # this confirms the exchange
        return got


# -- giving -----------------------------------------------------------------------------------------------------------


def _open(data: Data, stack: ExitStack) -> tuple[_Reader, int]:
    """Open the source of the data. Return it and the number of its bytes."""
    if isinstance(data, bytes | bytearray | memoryview):
        return BytesIO(data), memoryview(data).nbytes
    if isinstance(data, str | os.PathLike):
        path = os.fsdecode(data)
        source = Source(path, path, advice="pipe the contents of anything else to stdin")
        stack.callback(source.close)
        if source.size:
            return source, source.size
        file: IO[bytes] = stack.enter_context(_spooled(source))
    else:
        file = data
    if not file.seekable() or not (size := _left(file)):  # files of /proc and devices say that they are empty
        file = stack.enter_context(_spooled(file))
        size = _left(file)
    return file, size


def _left(file: IO[bytes]) -> int:
    """The number of bytes from the current position to the end; 0 if the file cannot say."""
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


class _Giving:
    """Sends our data when the hub asks for it.

    :param again: this may be a retry of an arrival whose data the hub already has.
    """

    def __init__(
        self,
        stream: Stream,
        desk: Desk,
        source: _Reader,
        size: int,
        progress: ExchangeProgress | None,
        *,
        again: bool,
    ) -> None:
        self._stream = stream
        self._desk = desk
        self._source = source
        self._size = size
        self._progress = progress
        self._again = again
        self._left = size

    @property
    def effect(self) -> str:
        """What has happened if no outcome of the hub comes, as a clause. The hub uses data only when it has all of it."""
        if self._left and not self._again:
            return "nothing was given, so check that the hub and the line work, and repeat it"
        return f"{OTHERS_MAY_HAVE_IT} repeat it"

    async def work(self) -> None:
        if protocol.read_reply(await self._stream.receive_message()) == ["had"]:
            self._left = 0
        while self._left:
            self._desk.start(partial(self._source.read, min(_READ, self._left)))
            data = await self._desk.finish(self._early)
            if not data:
                raise LinesyncFailed(
                    f"the data to give ended {self._left:,} bytes early; do not change the file until it has been sent"
                )
            for begin in range(0, len(data), _CHUNK):
                await self._send(data[begin : begin + _CHUNK])

    async def _send(self, chunk: bytes) -> None:
        self._left -= len(chunk)
        await self._stream.send(0, chunk)
        self._early()
        if self._progress is not None:
            queued = min(self._stream.queued, self._size - self._left)
            self._progress("giving", self._size - self._left - queued, self._size)

    def _early(self) -> None:
        """Raise the error that the hub has sent before it had received all data, if any."""
        item = self._stream.receive_nowait() if self._left else None
        if item is not None:
            raise protocol.read_error(_text(item)) or _strange()


# -- getting ----------------------------------------------------------------------------------------------------------


async def _get(
    stream: Stream, members: list[str], sink: Sink | None, progress: ExchangeProgress | None
) -> dict[str, bytes] | dict[str, int]:
    """Receive the data of all members and check it."""
    from hashlib import sha256  # slow to import, and only exchanges need it

    digest, held, sizes = sha256(), {}, {}
    done = total = 0
    for member in members:
        part = _message(await stream.receive(), ExchangePart)
        assert isinstance(part, ExchangePart)
        if part.member != member:
            raise _strange()
        total = total or part.total
        receiver = _Part(stream, member, sink)
        try:
            await receiver.open()
            left = part.size
            while left:
                item = await stream.receive()
                if item.stream == MESSAGE or len(item.data) > left:
                    raise protocol.read_error(_text(item)) or _strange()
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
    end = _message(await stream.receive(), FileEnd)
    assert isinstance(end, FileEnd)
    if end.sha256 != digest.hexdigest():
        raise LinesyncFailed(
            f"what was exchanged arrived damaged (its SHA-256 is not the hub's); {OTHERS_MAY_HAVE_IT} repeat it"
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
        raise _strange()
    error = protocol.read_error(_text(item))
    if error is not None:
        raise error
    return protocol.decode(_text(item), kind)


def _text(item: Item) -> str:
    return item.data.decode("utf-8", "replace")


def _strange() -> LinesyncError:
    return LinesyncFailed("the hub sent an unexpected message; install the same version of linesync on hub and client")
