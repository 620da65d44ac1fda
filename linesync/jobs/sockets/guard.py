"""Removes the file of a listening unix socket if its process is killed with SIGKILL.

The guard is a small shell that reads a pipe from this process. The kernel closes the pipe when this process has ended in any way.
The shell removes the file only if it is still the same file.
"""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress

__all__ = ["SocketGuard"]

_SCRIPT = 'read -r _; [ "$(stat -c %d:%i -- "$1" 2>&-)" = "$2" ] && rm -f -- "$1"'


class SocketGuard:
    """The guard of one socket file. Call :meth:`release` after the file was removed."""

    def __init__(self, process: Process | None) -> None:
        self._process = process

    @classmethod
    async def begin(cls, path: str) -> SocketGuard:
        """Start the guard of a file. Without a shell on this machine, the file has no guard."""
        process = None
        with suppress(OSError):
            found = os.stat(path)  # this process has just made the file, so the call does not block
            words = ["sh", "-c", _SCRIPT, "linesync-guard", path, f"{found.st_dev}:{found.st_ino}"]
            process = await asyncio.create_subprocess_exec(
                *words, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
            )
        return cls(process)

    async def release(self) -> None:
        """End the guard."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
