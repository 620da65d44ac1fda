"""Exchanging data with others, on top of the other operations."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from typing import IO, BinaryIO, Protocol, TypeAlias, overload

from .. import protocol
from ..errors import BrokenError, EndOfStream, LinesyncError, LinesyncFailed, UsageError
from ..jobs.paths import Source
from ..model.hosts.members import fold, unfold
from ..model.participants import check_member
from ..protocol import ExchangeOpen, ExchangePart, FileEnd
from ..runtime.desk import Behind, Desk
from ..runtime.streams import MESSAGE, Item, Stream
from .operations import Operations

__all__ = ["Data", "ExchangeOperations", "ExchangeProgress", "Sink"]

Data: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO
"""Bytes, the path of a regular file, or a binary file, which is read from where it stands to its end. From asyncio files
are read and written in other threads, one call at a time."""
Sink: TypeAlias = Callable[[str], IO[bytes]]
"""Gives the file into which a member's bytes are written; it is closed when they are all in it."""
ExchangeProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with (``giving`` or ``getting``, bytes so far, bytes in all)."""

_CHUNK = 1 << 16
_READ = 4 * _CHUNK  # bytes read from a file at once
_IN_MEMORY = 1 << 20  # bytes from a source of unknown length that are not put into a file
_MOST = 1 << 30  # bytes that are read from one


class _Reader(Protocol):
    """What data is read from."""

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
        """Give data, and get that of all members once all have given.

        :param members: who takes part, ``host`` or ``host#tag``, the same from everybody; a text is a folded list
            (``sut[1-8],hub``).
        :param data: what we give; of a file no more is held than what is on its way.
        :param member: who gives, one of ``members``; the host that we are on where it is absent.
        :param timeout: seconds until all must have given; 0 polls (all others have given already), None waits for ever.
        :param arrival: an id for those who ask again after a lost reply: the same id counts once, and gets the same data
            again for ten minutes.
        :param sink: gives a file for each member's bytes, instead of holding them; what was written into it is of no
            worth when this raises.
        :returns: each member's bytes (with ``sink``: how many), sorted by name. Their SHA-256 was checked.
        :raises TimedOut: names who gave, and who is missing and why.
        :raises MemberLost: a member is dead that had not given.
        :raises Mismatch: others came with other members, ``member`` is none of them, or is there already.
        :raises UsageError: the data is more than the hub takes from a member (16 MiB unless told otherwise); nothing was sent.
        :raises LinesyncFailed: the hub or the line is gone, or the data cannot be read or written here.
        """
        names = sorted(set(unfold(members) if isinstance(members, str) else members))
        for one in names:
            check_member(one)
        stack = ExitStack()
        shown = os.fsdecode(data) if isinstance(data, str | os.PathLike) else "what is to be given"
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
            try:
                await _give(stream, desk, source, size, progress)
                got = await _get(stream, names, sink, progress)
            except (BrokenError, EndOfStream) as error:
                raise LinesyncFailed(f"exchange '{name}' was broken off: {error.message}") from None
            except OSError as error:
                stream.reset(protocol.GIVEN_UP)
                raise LinesyncFailed(f"exchange '{name}' was given up: {error.strerror or error}") from None
            except BaseException:
                stream.reset(protocol.GIVEN_UP)
                raise
        finally:
            await desk.close(stack.close)
        stream.end()  # which confirms it
        return got


# -- giving -----------------------------------------------------------------------------------------------------------


def _open(data: Data, stack: ExitStack) -> tuple[_Reader, int]:
    """What to read the data from, and how long it is."""
    if isinstance(data, bytes | bytearray | memoryview):
        return BytesIO(data), memoryview(data).nbytes
    if isinstance(data, str | os.PathLike):
        path = os.fsdecode(data)
        source = Source(path, path, advice="give the contents of something else on stdin")
        stack.callback(source.close)
        if source.size:
            return source, source.size
        file: IO[bytes] = stack.enter_context(_spooled(source))
    else:
        file = data
    if not file.seekable():
        file = stack.enter_context(_spooled(file))
    here = file.tell()
    size = file.seek(0, os.SEEK_END) - here
    file.seek(here)
    return file, size


def _spooled(file: _Reader) -> IO[bytes]:
    """What a pipe holds, or a file of /proc, in a file of our own: the hub wants to know how much comes before it
    comes."""
    from tempfile import SpooledTemporaryFile  # only who reads from a pipe pays for it

    copy = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    while chunk := file.read(_CHUNK):
        copy.write(chunk)
        if copy.tell() > _MOST:
            copy.close()
            raise UsageError(f"what is to be given does not end within {_MOST:,} bytes; give less")
    copy.seek(0)
    return copy


async def _give(stream: Stream, desk: Desk, source: _Reader, size: int, progress: ExchangeProgress | None) -> None:
    """Send our data, once the hub wants it."""
    if protocol.read_reply(await stream.receive_message()) == ["had"]:
        return
    left = size

    def early() -> None:
        """The hub says something before it has all: an error."""
        item = stream.receive_nowait() if left else None
        if item is not None:
            raise protocol.read_error(_text(item)) or _strange()

    while left:
        desk.start(partial(source.read, min(_READ, left)))
        data = await desk.finish(early)
        if not data:
            raise LinesyncFailed(
                f"what is to be given ended {left:,} bytes early; leave the file alone until it is given"
            )
        for begin in range(0, len(data), _CHUNK):
            chunk = data[begin : begin + _CHUNK]
            left -= len(chunk)
            await stream.send(0, chunk)
            early()
            if progress is not None:
                progress("giving", size - left - min(stream.queued, size - left), size)


# -- getting ----------------------------------------------------------------------------------------------------------


async def _get(
    stream: Stream, members: list[str], sink: Sink | None, progress: ExchangeProgress | None
) -> dict[str, bytes] | dict[str, int]:
    """Receive the data of all members and check it."""
    from hashlib import sha256  # only those who exchange pay for it

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
        raise LinesyncFailed("what was exchanged arrived damaged (its SHA-256 is not the hub's); exchange it again")
    return held if sink is None else sizes


class _Part:
    """Where one member's bytes go."""

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
        """All is there; what is held of it."""
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
    return LinesyncFailed("the hub sent something else than was due; update linesync on one of the two")
