"""Copying files, on top of the other operations."""

from __future__ import annotations

import os

from .. import protocol
from ..jobs.files import Progress, fetch, store
from .operations import Operations

__all__ = ["FileOperations"]


class FileOperations(Operations):
    """Operations that copy files."""

    async def get_file(
        self, host: str, path: str, target: str, progress: Progress | None = None, *, device: bool = False
    ) -> int:
        """Copy a file from a host to here, whole or not at all; its SHA-256 is checked.

        A symbolic link is followed. A file that is replaced keeps its owner and mode. What is neither a regular file nor
        a directory to put it in is refused.

        :param target: a path here, or a directory.
        :param device: the source, the target or both are block devices; one that is written is overwritten in place, and
            read back to compare it.
        :returns: its size in bytes.
        :raises LinesyncFailed: it cannot be read there or written here, or the host is gone; nothing was changed, but
            for a block device that was being written.
        """
        stream = self.peer.open(protocol.encode(protocol.FileRead(to=host, path=path, Device=device)))
        return (await fetch(stream, target, os.path.basename(path), progress, device=device))[0]

    async def put_file(
        self, source: str, host: str, path: str, progress: Progress | None = None, *, device: bool = False
    ) -> int:
        """Copy a file from here to a host, as :meth:`get_file`."""
        return await store(self.peer, source, host, path, progress, device=device)

    async def pass_file(
        self,
        source: tuple[str, str],
        by: str,
        target: tuple[str, str],
        progress: Progress | None = None,
        *,
        device: bool = False,
    ) -> int:
        """Copy a file between two hosts, each given as (host, path), as :meth:`get_file`.

        :param by: the path of a new file here that holds it meanwhile.
        """
        stream = self.peer.open(protocol.encode(protocol.FileRead(to=source[0], path=source[1], Device=device)))
        _, from_device = await fetch(stream, by, "", progress, device=device, onward=True)
        return await store(self.peer, by, *target, progress, device=device, from_device=from_device)
