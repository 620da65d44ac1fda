"""The copy operations, in addition to the other operations."""

from __future__ import annotations

import os

from .. import protocol
from ..jobs.files import Progress, fetch, store
from ..jobs.targets import Intermediate
from .operations import Operations

__all__ = ["FileOperations"]


class FileOperations(Operations):
    """Operations that copy files."""

    async def get_file(
        self, host: str, path: str, target: str, progress: Progress | None = None, *, device: bool = False
    ) -> int:
        """Copy a file from a host to this machine. It arrives whole or not at all, and its SHA-256 is checked.

        Symbolic links are followed. A replaced file keeps its owner and mode. A source that is not a regular file is
        refused, and so is a target that is neither a regular file nor a directory.

        :param path: the path on the host.
        :param target: a local path, or a directory.
        :param progress: called with (bytes so far, total bytes).
        :param device: the source, the target or both are block devices. A target device is overwritten in place, and read
            back for comparison.
        :returns: the size in bytes.
        :raises LinesyncFailed: the file cannot be read there or written here, or the host is gone. Nothing was changed,
            except on a block device that was being written.
        """
        stream = self.peer.open(protocol.encode(protocol.FileRead(to=host, path=path, Device=device)))
        return (await fetch(stream, target, os.path.basename(path), progress, device=device))[0].size

    async def put_file(
        self, source: str, host: str, path: str, progress: Progress | None = None, *, device: bool = False
    ) -> int:
        """Copy a local file to a host, in the same way as :meth:`get_file`."""
        return await store(self.peer, source, host, path, progress, device=device)

    async def pass_file(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        progress: Progress | None = None,
        *,
        device: bool = False,
    ) -> int:
        """Copy a file between two hosts in the same way as :meth:`get_file`. On its way, it is in a temporary file.

        :param source: (host, path).
        :param target: (host, path).
        """
        stream = self.peer.open(protocol.encode(protocol.FileRead(to=source[0], path=source[1], Device=device)))
        name = os.path.basename(source[1])
        held, head = await fetch(stream, None, name, progress, device=device)
        assert isinstance(held, Intermediate)
        try:
            return await store(self.peer, held.path, *target, progress, device=device, named=name, like=head)
        finally:
            await self.peer.desk(held.path).close(held.close)
