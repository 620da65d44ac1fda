"""Gives data to an exchange and gets the data of all members; see :class:`linesync.client.operations.Operations`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from typing import IO, TYPE_CHECKING, BinaryIO, Protocol, TypeAlias

from ... import protocol
from ...errors import OTHERS_MAY_HAVE_IT, BrokenError, EndOfStream, LinesyncError, LinesyncFailed, UsageError
from ...jobs.files.paths import Source
from ...protocol import ExchangeOpen, ExchangePart, FileEnd
from ...protocol.ids import NOTE
from ...protocol.operations import effect, given_up
from ...runtime.channels.streams import MESSAGE, Item, Stream
from ...runtime.conversation import Conversation
from ...runtime.desk import Behind
from ...runtime.driver import Timeout
from ...runtime.identity import token
from ..deadlines import GRACE, limit, remaining, silence

if TYPE_CHECKING:
    from hashlib import _Hash

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
_READ = 4 * _CHUNK  # the number of bytes of one read from a file
_IN_MEMORY = 1 << 20  # bytes from a source of unknown length that stay in memory; more go to a temporary file
_MOST = 1 << 30  # the maximum number of bytes that are read from such a source


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
    job = _Exchange(peer, opening, shown, _Receipt(members, sink, progress), progress)
    async with limit(peer, opening.timeout, job.late) as scope:
        return await job.work(scope, data)


class _Exchange:
    """One exchange. It gives our data when the hub asks for it, and gets the data of all members.

    If the hub is killed, the channel breaks. When the session with the next hub has continued, we open another channel for
    the same arrival: the hub asks for the rest of our data, and sends the rest of the data of all members.
    """

    def __init__(
        self,
        peer: Conversation,
        opening: ExchangeOpen,
        shown: str,
        receipt: _Receipt,
        progress: ExchangeProgress | None,
    ) -> None:
        self._peer = peer
        self._opening = opening.but(arrival=opening.arrival or token())
        self._shown = shown
        self._receipt = receipt
        self._progress = progress
        self._begin = peer.now()
        self._desk = peer.desk(shown)
        self._repeats = bool(opening.arrival)  # this may be a retry of an arrival whose data the hub already has
        self._opened = False  # an earlier channel was opened for our arrival
        self._answered = False  # the hub has answered it, so the hub knows our arrival
        self._left: int | None = None  # the number of bytes of our data that were not sent yet; None if it is not known

    @property
    def _possible_effect(self) -> str:
        """The possible effect if the hub reports no outcome. The hub uses our data only when it has all of it."""
        return effect(self._opening) if self._repeats or self._left == 0 else ""

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

    async def work(self, scope: Timeout, data: Data) -> dict[str, bytes] | dict[str, int]:
        stack = ExitStack()
        try:
            try:
                source = await self._desk.do(partial(_open, data, stack))
            except OSError as error:
                raise LinesyncFailed(
                    f"cannot read {self._shown}: {error.strerror or error}; check its path and mode"
                ) from None
            await self._peer.until_continued()
            while (stream := await self._take_part(scope, source)) is None:
                pass
        finally:
            await self._receipt.close()
            await self._desk.close(stack.close)
        stream.end()  # this confirms the exchange
        return self._receipt.result()

    async def _take_part(self, scope: Timeout, source: _Source) -> Stream | None:
        """Take part on one channel. Returns the channel when all data has arrived, or None if it continues on another."""
        receipt = self._receipt
        # When data arrives, the exchange is complete, and the timeout does not apply any more.
        timeout = None if receipt.parts else remaining(self._opening.timeout, self._peer.now() - self._begin)
        opening = self._opening.but(
            size=source.size,
            timeout=timeout,
            again=self._opened,
            known=self._answered,
            Parts=receipt.parts,
            Got=receipt.got,
        )
        stream = self._peer.open(protocol.encode(opening))
        self._opened = True
        try:
            await self._desk.move(stream)
            await receipt.move(stream)
            channel = _LimitedChannel(stream, scope, self._opening.timeout)
            await self._give(channel, source)
            await receipt.receive(channel)
        except (BrokenError, EndOfStream) as error:
            if await self._continues(stream):
                return None
            reason = self._peer.end_reason if not self._peer.up else ""
            raise self._over(f"was interrupted: {reason or error.message}", deadline=self._passed()) from None
        except OSError as error:
            stream.reset(protocol.GIVEN_UP)
            raise self._over(f"was given up: {error.strerror or error}") from None
        except LinesyncError:
            stream.reset(protocol.GIVEN_UP)
            raise
        except BaseException:
            self._give_up(stream)
            raise
        return stream

    def _give_up(self, stream: Stream) -> None:
        """Withdraw the arrival, because we were cancelled. The reset is lost if the hub is dead; the note is not."""
        stream.reset(protocol.GIVEN_UP)
        self._peer.tell(protocol.encode(protocol.Withdraw(request=NOTE, arrival=self._opening.arrival)))

    async def _continues(self, stream: Stream) -> bool:
        """Whether the exchange continues on another channel, because the hub was killed and is back."""
        if not self._peer.interrupted:
            return stream.broken == protocol.OPEN_AGAIN
        try:
            await self._peer.until_continued()
        except BaseException:
            self._give_up(stream)
            raise
        return self._peer.up

    async def _give(self, channel: _LimitedChannel, source: _Source) -> None:
        stream = channel.stream
        reply = protocol.read_reply(await stream.receive_message())
        if self._answered:
            await self._desk.do(source.rewind)
        self._answered = True
        at = 0
        if reply != ["had"] and reply.options.get("at", "").isdecimal():
            at = await self._skip(source, int(reply.options["at"]), reply.options.get("sha256", ""))
        self._left = 0 if reply == ["had"] else source.size - at
        while self._left:
            self._desk.start(partial(source.read, min(_READ, self._left)))
            data = await self._desk.finish(partial(self._check_for_error, stream))
            if not data:
                raise LinesyncFailed(
                    f"the data to give ended {self._left:,} bytes early; do not change the file until it has been sent"
                )
            for begin in range(0, len(data), _CHUNK):
                channel.giving()
                await self._send(stream, data[begin : begin + _CHUNK], source.size)

    async def _skip(self, source: _Source, count: int, sha256: str) -> int:
        """Skip the bytes that the hub has. Returns their number.

        :raises LinesyncFailed: they are not the bytes that the source has now.
        """
        if await self._desk.do(partial(source.skip, count)) != sha256:
            raise LinesyncFailed(
                f"{self._shown} has changed since the hub got its first {count:,} bytes; do not change it until it has been"
                " sent, and exchange it again"
            )
        return count

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


class _Source:
    """The data to give.

    :param size: the number of its bytes.
    :param rewind: goes back to its first byte.
    """

    def __init__(self, file: _Reader, size: int, rewind: Callable[[], object]) -> None:
        self.read = file.read
        self.size = size
        self.rewind = rewind

    def skip(self, count: int) -> str:
        """Read this many bytes. Returns their SHA-256, also if there are fewer."""
        from hashlib import sha256

        digest = sha256()
        while count and (data := self.read(min(_READ, count))):
            digest.update(data)
            count -= len(data)
        return digest.hexdigest()


def _open(data: Data, stack: ExitStack) -> _Source:
    """Open the source of the data."""
    if isinstance(data, bytes | bytearray | memoryview):
        copy = BytesIO(data)
        return _Source(copy, memoryview(data).nbytes, partial(copy.seek, 0))
    if isinstance(data, os.PathLike):
        path = os.fsdecode(data)
        source = Source(path, path, advice="pipe the contents of anything else to stdin")
        stack.callback(source.close)
        if source.size:
            return _Source(source, source.size, source.rewind)
        file: IO[bytes] = stack.enter_context(_spooled(source))
    else:
        file = data
    if not file.seekable() or not (size := _size(file)):  # files of /proc and devices report the size 0
        file = stack.enter_context(_spooled(file))
        size = _size(file)
    return _Source(file, size, partial(file.seek, file.tell()))


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


class _Receipt:
    """The data of all members, as far as it has arrived. It may arrive on several channels, one after the other.

    :ivar parts: the number of members whose data has begun to arrive.
    :ivar got: the number of bytes that have arrived.
    """

    def __init__(self, members: Sequence[str], sink: Sink | None, progress: ExchangeProgress | None) -> None:
        self.parts = self.got = 0
        self._members = members
        self._sink = sink
        self._progress = progress
        self._part: _Part | None = None  # the member whose data arrives
        self._held: dict[str, bytes] = {}  # the data of the members before it
        self._sizes: dict[str, int] = {}
        self._left = self._total = 0
        self._digest: _Hash | None = None

    async def move(self, stream: Stream) -> None:
        """Continue on this channel."""
        if self._part is not None:
            await self._part.desk.move(stream)

    async def receive(self, channel: _LimitedChannel) -> None:
        """Receive the data that has not arrived yet, and check all data."""
        from hashlib import sha256  # slow to import, and only exchanges need it

        digest = self._digest = self._digest or sha256()
        while len(self._held) < len(self._members):
            member = self._members[len(self._held)]
            part = self._part or await self._next(channel, member)
            await part.open()
            while self._left:
                item = await channel.receive()
                if item.stream == MESSAGE or len(item.data) > self._left:
                    raise protocol.read_error(_text(item)) or _unexpected_message()
                self._left -= len(item.data)
                self.got += len(item.data)
                digest.update(item.data)
                await part.put(item.data)
                if self._progress is not None:
                    self._progress("getting", self.got, max(self._total, self.got))
            self._held[member] = await part.all()
            await self.close()
        end = _message(await channel.receive(), FileEnd)
        assert isinstance(end, FileEnd)
        if end.sha256 != digest.hexdigest():
            raise LinesyncFailed(
                "the exchanged data arrived damaged (its SHA-256 differs from the hub's);"
                f" {OTHERS_MAY_HAVE_IT} repeat it"
            )

    async def _next(self, channel: _LimitedChannel, member: str) -> _Part:
        """Begin the data of the next member, and return its part."""
        message = _message(await channel.receive(), ExchangePart)
        assert isinstance(message, ExchangePart)
        if message.member != member:
            raise _unexpected_message()
        self.parts += 1
        self._total = self._total or message.total
        self._left = self._sizes[member] = message.size
        self._part = _Part(channel.stream, member, self._sink)
        return self._part

    def result(self) -> dict[str, bytes] | dict[str, int]:
        """The bytes of each member, or their number if they went to files."""
        return self._held if self._sink is None else self._sizes

    async def close(self) -> None:
        """Close the file of the member whose data arrives."""
        part, self._part = self._part, None
        if part is not None:
            await part.close()


class _Part:
    """Receives one member's bytes, in memory or into the file of the sink. If the channel breaks during a call, the caller
    repeats the call on the next channel, and the call continues.

    :ivar desk: writes the file.
    """

    def __init__(self, stream: Stream, member: str, sink: Sink | None) -> None:
        self._member = member
        self._sink = sink
        self._held: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._begun = False
        self.desk = stream.desk(f"the data of {member}")
        self._behind = Behind(self.desk, self._write, _READ)

    async def open(self) -> None:
        if self._sink is not None:
            if not self._begun:
                self._begun = True
                self.desk.start(self._open)
            await self.desk.finish()

    async def put(self, data: bytes) -> None:
        if self._sink is None:
            self._held.append(data)
        else:
            await self._behind.put(data)

    async def all(self) -> bytes:
        """Finish, because all bytes have arrived. Return those that are in memory."""
        if self._sink is not None:
            await self._behind.flush()
            await self.desk.do(self._close)
        return b"".join(self._held)

    async def close(self) -> None:
        if self._sink is not None:
            await self.desk.close(self._close)

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
