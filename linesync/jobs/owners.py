"""Watches processes of this machine that own a resource of the hub, such as the shell that created a namespace.

The hub releases the resource when its owner ends. A pidfd refers to one process, even if the kernel uses the pid again
later. The start time proves that the pidfd belongs to the process that the client named, because a client in another pid
namespace, such as a container, sees other pids.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable

from ..errors import LinesyncFailed, UsageError
from .commands.handover import begin_of

__all__ = ["Owners"]

_LIMIT = 1000  # processes that are watched at the same time


class Owners:
    """The processes that an agent or a hub watches.

    :param host: the name of this host, for errors.
    :param gone: called with the pid and the start time of a process that has ended.
    """

    def __init__(self, host: str, gone: Callable[[int, str], None]) -> None:
        self._host = host
        self._gone = gone
        self._watched: dict[tuple[int, str], int] = {}
        """(pid, start time) of each process to its pidfd."""
        self._loop = asyncio.get_running_loop()

    def watch(self, pid: int, begin: str) -> None:
        """Watch a process until it ends. A second call for the same process does nothing.

        :param begin: the start time of the process, as :func:`begin_of` returns it.
        :raises UsageError: there is no such process.
        :raises LinesyncFailed: too many processes are watched, or this kernel has no pidfd.
        """
        if self.watches(pid, begin):
            return
        if len(self._watched) >= _LIMIT:
            raise LinesyncFailed(
                f"{self._host} already watches {_LIMIT} processes, which is the limit; end some of them"
            )
        descriptor = self._open(pid)
        if descriptor < 0 or begin_of(pid) != begin:  # in this order: after the open, the pid cannot be used again
            if descriptor >= 0:
                os.close(descriptor)
            raise UsageError(
                f"process {pid} does not run on {self._host}, or runs in a container whose processes {self._host} cannot see;"
                " give the pid of a running process with --owner"
            )
        self._watched[pid, begin] = descriptor
        self._loop.add_reader(descriptor, self._ended, pid, begin)

    def watches(self, pid: int, begin: str) -> bool:
        """Whether this process is being watched."""
        return (pid, begin) in self._watched

    def close(self) -> None:
        """Stop watching all processes."""
        for pid, begin in list(self._watched):
            self._drop(pid, begin)

    def _open(self, pid: int) -> int:
        """Open and return a pidfd, or return -1 if there is no such process."""
        if not 0 < pid < 1 << 31:
            return -1
        try:
            return os.pidfd_open(pid)
        except (AttributeError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ESRCH, errno.EINVAL, errno.ENOENT):
                return -1  # there is no such process, or the pid belongs to a thread
            reason = error.strerror if isinstance(error, OSError) else "its Python has no pidfd_open"
            raise LinesyncFailed(
                f"{self._host} cannot watch process {pid}: {reason} (Linux 5.3 or newer is needed); use a namespace without an"
                " owner, and 'linesync reset --namespace NAME' at the end"
            ) from None

    def _ended(self, pid: int, begin: str) -> None:
        self._drop(pid, begin)
        self._gone(pid, begin)

    def _drop(self, pid: int, begin: str) -> None:
        descriptor = self._watched.pop((pid, begin))
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
