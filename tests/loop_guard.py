"""Reports each system call on a path or an open file that runs in the thread of a running event loop.

Run as a program, it installs itself and then runs ``linesync``::

    python -m tests.loop_guard REPORT hub --socket ...

Audit events report most calls that take a path. ``stat``, ``readlink``, ``fsync``, ``read``, ``write`` and ``close`` raise no
audit events. Therefore this module wraps them. Calls on a descriptor are reported only for regular files, block devices and
directories.
Each call is one line of the report, with the source line of linesync that made it.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

_EVENTS = (
    "open",
    "os.chdir",
    "os.chmod",
    "os.chown",
    "os.getxattr",
    "os.link",
    "os.listdir",
    "os.listxattr",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.scandir",
    "os.setxattr",
    "os.symlink",
    "os.truncate",
    "os.utime",
    "shutil",
    "tempfile",
)
_WITH_PATH = ("access", "lstat", "readlink", "stat", "statvfs")
_WITH_FILE = ("close", "fdatasync", "fsync", "pread", "preadv", "pwrite", "read", "readv", "write", "writev")
_NEVER_BLOCK = ("/dev/null", "/proc/")
"""Calls on these paths wait for neither a disk nor another process."""


_readlink = os.readlink


def _running() -> bool:
    return asyncio._get_running_loop() is not None


def _caller(frame: FrameType | None) -> str:
    """The source line of linesync that runs now; empty during an import, which only reads the program itself."""
    found = ""
    while frame is not None:
        name = frame.f_code.co_filename
        if "importlib" in name:
            return ""
        if not found and "/linesync/" in name:
            found = f"{name.rpartition('/linesync/')[2]}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back
    return found


def install(report: str) -> None:
    """Report all calls from now on.

    :param report: the path of the file to which lines are appended.
    """
    descriptor = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    plain_write, plain_fstat = os.write, os.fstat

    def note(call: str, subject: object) -> None:
        if str(subject).startswith(_NEVER_BLOCK):
            return
        caller = _caller(sys._getframe(2))
        if caller:
            plain_write(descriptor, f"{call} {subject!r} by {caller}\n".encode())

    def heard(event: str, args: tuple[Any, ...]) -> None:
        if event.startswith(_EVENTS) and _running() and not isinstance(args[0], int):
            note(event, args[0])

    def with_path(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **named: Any) -> Any:
            if _running() and not isinstance(path, int):
                note(name, path)
            return plain(path, *args, **named)

        return call

    def with_file(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: int, *args: Any) -> Any:
            if _running() and _is_file(plain_fstat, file):
                note(name, file)
            return plain(file, *args)

        return call

    for name in _WITH_PATH:
        setattr(os, name, with_path(name, getattr(os, name)))
    for name in _WITH_FILE:
        setattr(os, name, with_file(name, getattr(os, name)))
    sys.addaudithook(heard)


def _is_file(fstat: Callable[[int], os.stat_result], file: int) -> bool:
    try:
        mode = fstat(file).st_mode
    except OSError:
        return False
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode) or stat.S_ISDIR(mode)):
        return False
    return not _readlink(f"/proc/self/fd/{file}").startswith("/memfd:")  # memory, with no disk behind it


if __name__ == "__main__":
    install(sys.argv[1])
    from linesync.cli.main import main

    sys.exit(main(sys.argv[2:]))
