"""The common part of all targets of copies: counts and hashes the written bytes."""

from __future__ import annotations

import os

from .paths import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["Hashed"]

_ZEROS = bytes(1 << 16)


class Hashed:
    """Base of the targets: counts and hashes the written bytes."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def hashed(self) -> _Hash:
        """The SHA-256 object of the bytes written so far."""
        return self._hash

    def hash_hole(self, size: int) -> None:
        """Count and hash bytes of 0 that are not written."""
        self.size += size
        while size:
            piece = memoryview(_ZEROS)[:size]
            self._hash.update(piece)
            size -= len(piece)

    def put_bytes(self, descriptor: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        self._hash.update(data)
        self.size += len(data)
