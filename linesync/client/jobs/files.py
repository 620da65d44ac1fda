"""The operations of clients that copy files."""

from __future__ import annotations

import os

from ... import protocol
from ...errors import LinesyncError
from ...protocol.operations import given_up
from ..arguments import checked, host_and_path, path
from ..deadlines import limit
from ..sync import SyncOperations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...jobs.files.single import Progress

__all__ = ["FileOperations"]


class FileOperations(SyncOperations):
    """Operations that copy files."""

    @checked(target=path)
    async def get_file(
        self,
        host: str,
        path: str | os.PathLike[str],
        target: str | os.PathLike[str],
        progress: Progress | None = None,
        *,
        device: bool = False,
        timeout: float | None = None,
    ) -> int:
        """Copy a file from a host to this machine. The file arrives complete or not at all, and its SHA-256 is checked.

        The copy follows symbolic links. A file that is replaced keeps its owner and mode. The source must be a regular file.
        An existing target must be a regular file or a directory.

        :param path: the path on the host.
        :param target: a local path, or a directory.
        :param progress: called with (bytes so far, total bytes).
        :param device: the source, the target or both are block devices. A target device is overwritten in place, and
            read back for comparison.
        :param timeout: seconds for the whole copy.
        :returns: the size in bytes.
        :raises TimedOut: the copy was not complete in time; nothing was changed.
        :raises LinesyncFailed: the file cannot be read on the host or written on this machine, or the host is lost. Nothing
            was changed, except on a block device that was being written. After a timeout, the message may also say that
            the target may have been replaced.
        """
        from ...jobs.files.single import fetch  # imported late, because only copies need it

        path, target = os.fspath(path), os.fspath(target)
        copy = _Copy(target, timeout)
        async with limit(self.peer, timeout, copy.late, 0.0):
            stream = self.peer.open(protocol.encode(protocol.FileRead(to=host, path=path, Device=device)))
            name = os.path.basename(path)
            written, _ = await fetch(stream, target, name, progress, device=device, touch=copy.touch)
            return written.size

    @checked(source=path)
    async def put_file(
        self,
        source: str | os.PathLike[str],
        host: str,
        path: str | os.PathLike[str],
        progress: Progress | None = None,
        *,
        device: bool = False,
        timeout: float | None = None,
    ) -> int:
        """Copy a local file to a host, in the same way as :meth:`get_file`."""
        from ...jobs.files.single import store

        path, source = os.fspath(path), os.fspath(source)
        copy = _Copy(f"{host}:{path}", timeout)
        async with limit(self.peer, timeout, copy.late, 0.0):
            return await store(self.peer, source, host, path, progress, device=device, touch=copy.touch)

    @checked()
    async def get_stream(
        self,
        host: str,
        path: str | os.PathLike[str],
        descriptor: int,
        progress: Progress | None = None,
        *,
        timeout: float | None = None,
    ) -> int:
        """Copy a file from a host to an open file of this process, such as a pipe. Its SHA-256 is checked at the end.

        :param path: the path on the host.
        :param descriptor: the descriptor of the open file. It stays open.
        :param progress: called with (bytes so far, total bytes).
        :param timeout: seconds for the whole copy.
        :returns: the size in bytes.
        :raises TimedOut: the copy was not complete in time, and nothing was written.
        :raises LinesyncFailed: the file cannot be read on the host, or the bytes cannot be written. Some may have been written.
        """
        from ...jobs.files.pipes import Output
        from ...jobs.files.single import fetch

        copy = _Copy("the output", timeout)
        async with limit(self.peer, timeout, copy.late, 0.0):
            stream = self.peer.open(protocol.encode(protocol.FileRead(to=host, path=os.fspath(path))))
            output = Output(descriptor, copy.touch)
            written, _ = await fetch(stream, None, "", progress, output=output)
            return written.size

    @checked()
    async def put_stream(
        self,
        descriptor: int,
        host: str,
        path: str | os.PathLike[str],
        progress: Progress | None = None,
        *,
        timeout: float | None = None,
    ) -> int:
        """Copy the bytes of an open file of this process, such as a pipe, to a file on a host. The file appears when all bytes
        have arrived.

        :param descriptor: the descriptor of the open file. It is read until its end and stays open.
        :param path: the path of the file on the host.
        :param progress: called with (bytes so far, total bytes).
        :param timeout: seconds for the whole copy.
        :returns: the size in bytes.
        :raises TimedOut: the copy was not complete in time; nothing was changed.
        :raises LinesyncFailed: the bytes cannot be read, or the file cannot be written. Nothing was changed.
        """
        from ...jobs.files.pipes import Input
        from ...jobs.files.single import store

        path = os.fspath(path)
        copy = _Copy(f"{host}:{path}", timeout)
        async with limit(self.peer, timeout, copy.late, 0.0):
            return await store(self.peer, "-", host, path, progress, touch=copy.touch, given=Input(descriptor))

    @checked(source=host_and_path, target=host_and_path)
    async def pass_file(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        progress: Progress | None = None,
        *,
        device: bool = False,
        timeout: float | None = None,
    ) -> int:
        """Copy a file between two hosts in the same way as :meth:`get_file`. The data passes through a temporary file
        on this machine.

        :param source: (host, path).
        :param target: (host, path).
        """
        from ...jobs.files.single import fetch, store
        from ...jobs.files.targets import Intermediate

        copy = _Copy(":".join(target), timeout)
        async with limit(self.peer, timeout, copy.late, 0.0):
            stream = self.peer.open(protocol.encode(protocol.FileRead(to=source[0], path=source[1], Device=device)))
            name = os.path.basename(source[1])
            held, head = await fetch(stream, None, name, progress, device=device)
            assert isinstance(held, Intermediate)
            try:
                return await store(
                    self.peer, held.path, *target, progress, device=device, named=name, like=head, touch=copy.touch
                )
            finally:
                await self.peer.desk(held.path).close(held.close)


class _Copy:
    """Makes the error for a copy that was given up.

    :param target: the target of the copy, for messages.
    :param timeout: the timeout of the copy in seconds, or None.
    """

    def __init__(self, target: str, timeout: float | None) -> None:
        self._target = target
        self._timeout = timeout
        self._touched = False

    def touch(self) -> None:
        """Record that the target may have been changed from now on."""
        self._touched = True

    def late(self, after: float) -> LinesyncError:
        """The error for a copy that was given up.

        :param after: the seconds since its start.
        """
        event = f"the copy to {self._target} was given up"
        if not self._touched:
            return given_up(event, "", deadline=self._timeout)
        return given_up(f"{event} after {after:.3g} s", "the target may have been changed", check="compare it")
