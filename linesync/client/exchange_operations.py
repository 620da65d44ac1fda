"""Exchanging data with others, on top of the other operations."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from io import BytesIO
from typing import IO, BinaryIO, Protocol, TypeAlias, overload

from .. import protocol
from ..errors import BrokenError, EndOfStream, LinesyncError, LinesyncFailed, UsageError
from ..model.hosts.members import fold, unfold
from ..model.participants import check_member
from ..protocol import ExchangeOpen, ExchangePart, FileEnd
from ..runtime.streams import MESSAGE, Item, Stream
from .operations import Operations

__all__ = ["Data", "ExchangeOperations", "ExchangeProgress", "Sink"]

Data: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO
"""Bytes, the path of a file, or a binary file, which is read from where it stands to its end."""
Sink: TypeAlias = Callable[[str], IO[bytes]]
"""Gives the file into which a member's bytes are written; it is closed when they are all in it."""
ExchangeProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with (``giving`` or ``getting``, bytes so far, bytes in all)."""

_CHUNK = 1 << 16
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
        with ExitStack() as stack:
            try:
                source, size = _open(data, stack)
            except OSError as error:
                what = error.filename or "what is to be given"
                raise LinesyncFailed(
                    f"cannot read {what}: {error.strerror or error}; check its path and mode"
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
            try:
                await _give(stream, source, size, progress)
                got = await _get(stream, names, sink, progress)
            except (BrokenError, EndOfStream) as error:
                raise LinesyncFailed(f"exchange '{name}' was broken off: {error.message}") from None
            except OSError as error:
                stream.reset(protocol.GIVEN_UP)
                raise LinesyncFailed(f"exchange '{name}' was given up: {error.strerror or error}") from None
            except BaseException:
                stream.reset(protocol.GIVEN_UP)
                raise
        stream.end()  # which confirms it
        return got


# -- giving -----------------------------------------------------------------------------------------------------------


def _open(data: Data, stack: ExitStack) -> tuple[_Reader, int]:
    """What to read the data from, and how long it is."""
    file: IO[bytes]
    if isinstance(data, bytes | bytearray | memoryview):
        file = BytesIO(data)
    elif isinstance(data, str | os.PathLike):
        file = stack.enter_context(open(data, "rb", buffering=0))  # noqa: SIM115
    else:
        file = data
    if not file.seekable():
        file = stack.enter_context(_spooled(file))
    here = file.tell()
    size = file.seek(0, os.SEEK_END) - here
    file.seek(here)
    return file, size


def _spooled(file: IO[bytes]) -> IO[bytes]:
    """What a pipe holds, in a file of our own: the hub wants to know how much comes before it comes."""
    from tempfile import SpooledTemporaryFile  # only who reads from a pipe pays for it

    copy = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    while chunk := file.read(_CHUNK):
        copy.write(chunk)
        if copy.tell() > _MOST:
            copy.close()
            raise UsageError(f"what is to be given does not end within {_MOST:,} bytes; give less")
    copy.seek(0)
    return copy


async def _give(stream: Stream, source: _Reader, size: int, progress: ExchangeProgress | None) -> None:
    """Send our data, once the hub wants it."""
    if protocol.read_reply(await stream.receive_message()) == ["had"]:
        return
    left = size
    while left:
        chunk = source.read(min(_CHUNK, left))
        if not chunk:
            raise LinesyncFailed(
                f"what is to be given ended {left:,} bytes early; leave the file alone until it is given"
            )
        left -= len(chunk)
        await stream.send(0, chunk)
        early = stream.receive_nowait() if left else None
        if early is not None:
            raise protocol.read_error(_text(early)) or _strange()
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
        with sink(member) if sink is not None else BytesIO() as file:
            left = part.size
            while left:
                item = await stream.receive()
                if item.stream == MESSAGE or len(item.data) > left:
                    raise protocol.read_error(_text(item)) or _strange()
                left -= len(item.data)
                done += len(item.data)
                digest.update(item.data)
                _write(file, item.data)
                if progress is not None:
                    progress("getting", done, max(total, done))
            sizes[member] = part.size
            if isinstance(file, BytesIO) and sink is None:
                held[member] = file.getvalue()
    end = _message(await stream.receive(), FileEnd)
    assert isinstance(end, FileEnd)
    if end.sha256 != digest.hexdigest():
        raise LinesyncFailed("what was exchanged arrived damaged (its SHA-256 is not the hub's); exchange it again")
    return held if sink is None else sizes


def _write(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


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
