"""The highest fencing token that a hub may have given, in a small file, so that a hub that starts again gives larger ones.

The clock alone is not enough: it may have been an hour fast, and be correct again. So a hub reserves a block of tokens in
the file before it gives the first one of the block. A grant then needs no write.

1. A reservation begins at the end of the last one or at a floor, whichever is higher. Several hubs may share a file, because
   the reservation is made under a lock of its directory.
2. The file is replaced as a whole, and is on the disk before the reservation counts.
3. A file that exists but does not contain tokens is never replaced, because tokens could become lower.

All functions may block.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress

from ..errors import LinesyncFailed

__all__ = ["BLOCK", "CannotSave", "reserve", "reserved"]

BLOCK = 1 << 20  # tokens of one reservation
_TOKENS_MAX = 1 << 53  # tokens are exact in every JSON reader below this
_FORMAT = "linesync fencing tokens below %d may have been given\n"
_BEGIN, _END = _FORMAT.split("%d")
_FILE_MAX = 200  # bytes of a file that can be valid
_LOCK_TIME = 2.0  # seconds to wait for another hub that makes a reservation


class CannotSave(LinesyncFailed):
    """The file cannot be written.

    :ivar least: no token below this one may be given, as far as it is known.
    """

    def __init__(self, path: str, error: OSError, least: int) -> None:
        super().__init__(f"cannot save the fencing tokens in {path}: {error.strerror or error}")
        self.least = least


def reserve(path: str, floor: int) -> int:
    """Reserve a block of tokens.

    :param floor: no token of the block is lower.
    :returns: the first token of the block.
    :raises LinesyncFailed: the file cannot be read, or is not valid.
    :raises CannotSave: it cannot be written.
    """
    least = max(reserved(path), floor)
    folder = os.path.dirname(path) or "."
    try:
        os.makedirs(folder, 0o755 if os.geteuid() == 0 else 0o700, exist_ok=True)
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise CannotSave(path, error, least) from None
    try:
        _lock(directory)
        least = max(reserved(path), floor)
        _write(path, least + BLOCK)
        os.fsync(directory)
    except OSError as error:
        raise CannotSave(path, error, least) from None
    finally:
        os.close(directory)
    return least


def reserved(path: str) -> int:
    """The end of the last reservation; 0 if there was none."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read(_FILE_MAX)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise LinesyncFailed(
            f"cannot read the fencing tokens in {path}: {error.strerror or error}; make the file readable for this hub"
        ) from None
    number = text.removeprefix(_BEGIN).removesuffix(_END)
    if text != f"{_BEGIN}{number}{_END}" or not number.isdecimal() or int(number) + BLOCK > _TOKENS_MAX:
        raise LinesyncFailed(
            f"{path} does not contain the fencing tokens of a hub; restore it, or remove it if nothing remembers a token"
        )
    return int(number)


def _lock(directory: int) -> None:
    deadline = time.monotonic() + _LOCK_TIME
    while True:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def _write(path: str, end: int) -> None:
    new = f"{path}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, (_FORMAT % end).encode())
        os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            os.unlink(new)
        raise
    finally:
        os.close(descriptor)
    os.rename(new, path)
