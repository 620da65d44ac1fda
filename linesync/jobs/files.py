"""Files over a channel: whole, checked and in their place, or not there at all.

The bytes go into a temporary file beside the target; only when their number and their SHA-256 are what the sender says
is it renamed over the target. Both ends run the same two loops, one to send and one to receive, under any driver.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from .. import limits, protocol
from ..errors import BrokenError, EndOfStream, LinesyncError, LinesyncFailed
from ..protocol import FileEnd, FileGot, FileHead
from ..runtime.streams import MESSAGE, Stream
from ..wire.channels.credit import RECORD_COST

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["fetch", "serve_read", "serve_write", "store"]

Progress = Callable[[int, int], None]
"""Called with (bytes so far, bytes in all)."""
_CHUNK = limits.CREDIT_PIPE // 4 - RECORD_COST
"""Bytes sent at once: on a socket one frame each, over all lines of the way, and no channel's credit ends within one."""
_TELL = 1.0  # seconds between two words about how much has arrived: fifteen bytes on the line


def _sha256() -> _Hash:
    from hashlib import sha256  # only those who copy pay for it

    return sha256()


class _Incoming:
    """A file that is being received: nothing is at its place until :meth:`commit`."""

    def __init__(self, path: str, mode: int) -> None:
        self.path = path
        folder, name = os.path.split(path)
        self._temporary = os.path.join(folder, f".{name[:200]}.{os.getpid()}.{id(self):x}.linesync")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file: BinaryIO | None = os.fdopen(os.open(self._temporary, flags, 0o600), "wb", buffering=0)
        self._mode = mode
        self._hash = _sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        assert self._file is not None
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._hash.update(data)
        self.size += len(data)

    @property
    def sha256(self) -> str:
        """Of what has been received so far, hex digits."""
        return self._hash.hexdigest()

    def commit(self, sha256: str) -> None:
        """Put the file in its place.

        :raises LinesyncFailed: what arrived is not what was sent.
        """
        assert self._file is not None
        if self.sha256 != sha256:
            raise LinesyncFailed(
                f"{self.path} arrived damaged (its SHA-256 is not that of what was sent); it was not written, copy it again"
            )
        os.fchmod(self._file.fileno(), self._mode & 0o7777)
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        os.rename(self._temporary, self.path)

    def discard(self) -> None:
        """Leave nothing behind; after :meth:`commit` this does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None
            os.unlink(self._temporary)


async def _send_bytes(stream: Stream, file: BinaryIO, meanwhile: Callable[[], None] | None = None) -> str:
    """Send a file's bytes and tell their SHA-256; ``meanwhile`` is that of :meth:`Stream.drained`."""
    digest = _sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        await stream.send(0, chunk, meanwhile)
    return digest.hexdigest()


async def _receive_bytes(stream: Stream, incoming: _Incoming, size: int, progress: Progress | None) -> None:
    """Receive a file's bytes up to and with its FileEnd, and commit it."""
    while True:
        item = await stream.receive()
        if item.stream != MESSAGE:
            incoming.write(item.data)
            if progress is not None:
                progress(incoming.size, size)
            continue
        end = _message(item.data.decode("utf-8", "replace"), FileEnd)
        assert isinstance(end, FileEnd)
        incoming.commit(end.sha256)
        return


def _message(text: str, *kinds: type[protocol.Message]) -> protocol.Message:
    error = protocol.read_error(text)
    if error is not None:
        raise error
    return protocol.decode(text, *kinds)


def _regular(path: str) -> tuple[BinaryIO, os.stat_result]:
    """Open a file for reading.

    :raises LinesyncFailed: it is not a regular file.
    :raises OSError: as the system says.
    """
    file = open(path, "rb", buffering=0)  # noqa: SIM115 - the caller closes it
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        file.close()
        raise LinesyncFailed(f"{path} is not a regular file; copy files by their names")
    return file, status


# -- the host's side --------------------------------------------------------------------------------------------------


async def serve_read(stream: Stream, request: protocol.FileRead) -> None:
    """Send a file to the client."""
    try:
        file, status = _regular(os.path.expanduser(request.path))
    except OSError as error:
        raise _cannot("read", f"{request.to}:{request.path}", error) from None
    with file:
        stream.send_message(protocol.encode(FileHead(size=status.st_size, mode=stat.S_IMODE(status.st_mode))))
        digest = await _send_bytes(stream, file)
    stream.send_message(protocol.encode(FileEnd(sha256=digest)))
    stream.end()


def _telling(stream: Stream) -> Progress:
    """Tells the sender how far its file is, each second: what it has sent may still be in the buffers of a slow way."""
    last = stream.now()

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = stream.now()
        if now - last >= _TELL:
            last = now
            stream.send_message(protocol.encode(FileGot(size=done)))

    return tell


async def serve_write(stream: Stream, request: protocol.FileWrite) -> None:
    """Take a file from the client."""
    path = os.path.expanduser(request.path)
    if os.path.isdir(path):
        path = os.path.join(path, os.path.basename(request.name))
    try:
        incoming = _Incoming(path, request.mode)
    except OSError as error:
        raise _cannot("write", f"{request.to}:{path}", error) from None
    try:
        await _receive_bytes(stream, incoming, request.size, _telling(stream) if request.tell else None)
    except OSError as error:
        raise _cannot("write", f"{request.to}:{path}", error) from None
    finally:
        incoming.discard()
    stream.send_message(protocol.encode(FileEnd(sha256=incoming.sha256)))
    stream.end()


# -- the client's side ------------------------------------------------------------------------------------------------


async def fetch(stream: Stream, target: str, name: str, progress: Progress | None = None) -> int:
    """Receive the file that a FileRead channel sends.

    :param target: a path here; into a directory it goes under ``name``.
    :returns: its size in bytes.
    :raises LinesyncFailed: it cannot be had, or not written here; nothing was changed.
    """
    path = os.path.join(target, name) if os.path.isdir(target) else target
    try:
        head = _message(await stream.receive_message(), FileHead)
        assert isinstance(head, FileHead)
        incoming = _Incoming(path, head.mode)
        try:
            await _receive_bytes(stream, incoming, head.size, progress)
        finally:
            incoming.discard()
        stream.end()
        return incoming.size
    except OSError as error:
        stream.reset("the client cannot write the file")
        raise _cannot("write", path, error) from None
    except (BrokenError, EndOfStream) as error:
        raise LinesyncFailed(f"the copy was broken off: {error.message}; nothing was changed") from None


async def store(
    open_channel: Callable[[protocol.FileWrite], Stream],
    source: str,
    host: str,
    path: str,
    progress: Progress | None = None,
) -> int:
    """Send a file to a host.

    :param open_channel: opens the channel for the request made here.
    :returns: its size in bytes.
    :raises LinesyncFailed: it cannot be read here or written there; nothing was changed.
    """
    try:
        file, status = _regular(source)
    except OSError as error:
        raise _cannot("read", source, error) from None
    with file:
        mode = stat.S_IMODE(status.st_mode)
        request = protocol.FileWrite(
            to=host,
            path=path,
            name=os.path.basename(source),
            size=status.st_size,
            mode=mode,
            tell=progress is not None,
        )
        stream = open_channel(request)

        def heard(text: str) -> protocol.Message:
            message = _message(text, FileGot, FileEnd)
            if isinstance(message, FileGot) and progress is not None:
                progress(message.size, max(status.st_size, message.size))
            return message

        def meanwhile() -> None:
            while (item := stream.receive_nowait()) is not None:
                heard(item.data.decode("utf-8", "replace"))  # an error ends it here: the rest need not be sent

        try:
            digest = await _send_bytes(stream, file, meanwhile)
            stream.send_message(protocol.encode(FileEnd(sha256=digest)))
            written = heard(await stream.receive_message())
            while isinstance(written, FileGot):
                written = heard(await stream.receive_message())
            if progress is not None:
                progress(status.st_size, status.st_size)
            if not isinstance(written, FileEnd) or written.sha256 != digest:
                raise LinesyncFailed(f"{host} wrote something else than was sent to {path}; copy it again")
        except (BrokenError, EndOfStream) as error:
            raise await _their_error(stream) or LinesyncFailed(
                f"the copy was broken off: {error.message}; nothing was changed there"
            ) from None
        except LinesyncError:
            stream.reset("the copy was given up")  # what has not left need not be sent
            raise
        stream.end()
        return status.st_size


async def _their_error(stream: Stream) -> LinesyncError | None:
    """The error that the host sent before it closed the channel, if it did."""
    try:
        return protocol.read_error(await stream.receive_message())
    except LinesyncError:
        return None


def _cannot(what: str, path: str, error: OSError) -> LinesyncFailed:
    return LinesyncFailed(f"cannot {what} {path}: {error.strerror}; check the path and the rights to it")
