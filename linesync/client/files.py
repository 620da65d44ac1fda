"""Copying files, on top of the other operations."""

from __future__ import annotations

import os

from .. import protocol
from ..jobs.files import Progress, fetch, store
from .operations import Operations

__all__ = ["FileOperations"]


class FileOperations(Operations):
    """Operations that copy files."""

    async def get_file(self, host: str, path: str, target: str, progress: Progress | None = None) -> int:
        """Copy a file from a host to here, whole or not at all; its SHA-256 is checked.

        :param target: a path here, or a directory.
        :returns: its size in bytes.
        :raises LinesyncFailed: it cannot be read there or written here, or the host is gone; nothing was changed.
        """
        stream = self.peer.open(protocol.encode(protocol.FileRead(to=host, path=path)))
        return await fetch(stream, target, os.path.basename(path), progress)

    async def put_file(self, source: str, host: str, path: str, progress: Progress | None = None) -> int:
        """Copy a file from here to a host, as :meth:`get_file`."""
        return await store(lambda request: self.peer.open(protocol.encode(request)), source, host, path, progress)
