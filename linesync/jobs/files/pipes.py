"""Open files of this process, such as pipes, as the source or the target of a copy."""

from __future__ import annotations

import os
from collections.abc import Callable

from ...errors import LinesyncFailed
from .hashed import Hashed
from .paths import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["Input", "Output"]

_READ_MAX = 1 << 18  # bytes of one read


class Input:
    """An open file that is read until its end. It has the interface of :class:`linesync.jobs.files.paths.Source`.

    :param descriptor: the descriptor; it stays open.
    """

    path = "-"
    size = 0
    mode = 0o666
    device = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._hash: _Hash = sha256()
        self.sent = 0

    def read(self, limit: int = _READ_MAX) -> bytes:
        """Read and return the next bytes; b"" at the end.

        :raises OSError: the file cannot be read.
        """
        data = os.read(self._descriptor, limit)
        self._hash.update(data)
        self.sent += len(data)
        return data

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes read so far, in hex digits."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Do nothing: the owner closes the descriptor."""


class Output(Hashed):
    """An open file to which bytes are written as they arrive.

    :param descriptor: the descriptor; it stays open.
    :param touch: called before the first bytes are written.
    """

    def __init__(self, descriptor: int, touch: Callable[[], None]) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._touch = touch

    def write(self, data: bytes) -> None:
        self._touch()
        self.put_bytes(self._descriptor, data)

    def commit(self, sha256: str) -> bool:
        if self.sha256 != sha256:
            raise LinesyncFailed(
                "the output is damaged (its SHA-256 differs from that of the source); discard it, and copy the file again"
            )
        return False

    def discard(self) -> None:
        """Do nothing, because the written bytes cannot be taken back."""
