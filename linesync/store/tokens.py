"""A small file with the highest fencing token that a hub may have granted, so that a restarted hub grants larger tokens.

A token from the clock would not be enough, because the clock may have been fast and may be correct again. A hub therefore
reserves a block of tokens in the file before it grants the first token of the block. A grant then needs no write.

1. A reservation begins at the end of the last reservation or at a floor, whichever is higher. Several hubs may share a file,
   because each hub locks the directory for a reservation.
2. Each reservation replaces the complete file. The new file is on the disk before the reservation is used.
3. A file that exists but is not valid is never replaced, because the tokens of the next reservation could be too low.

All functions may block.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress

from ..errors import LinesyncFailed

__all__ = ["BLOCK", "CannotSave", "reserve", "reserved"]

BLOCK = 1 << 20  # the number of tokens of one reservation
_TOKENS_MAX = 1 << 53  # every JSON reader reads tokens below this number exactly
_FORMAT = "linesync fencing tokens below %d may have been given\n"
_BEGIN, _END = _FORMAT.split("%d")
_FILE_MAX = 200  # the maximum size of a valid file in bytes
_LOCK_TIME = 2.0  # the longest wait for the reservation of another hub, in seconds


class CannotSave(LinesyncFailed):
    """The file cannot be written.

    :ivar least: the smallest token that may be granted, as far as it is known.
    """

    def __init__(self, path: str, error: OSError, least: int) -> None:
        super().__init__(f"cannot save the fencing tokens in {path}: {error.strerror or error}")
        self.least = least


def reserve(path: str, floor: int) -> int:
    """Reserve a block of tokens.

    :param floor: the lowest possible first token of the block.
    :returns: the first token of the block.
    :raises LinesyncFailed: the file cannot be read, or is not valid.
    :raises CannotSave: the file cannot be written.
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
            f"{path} does not contain the fencing tokens of a hub; restore it, or remove it if no resource still checks tokens"
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
