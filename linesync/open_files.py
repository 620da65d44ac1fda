"""The limit of open files of this process.

A hub or an agent raises its soft limit to the hard one, because it needs a descriptor for each connection. The commands
that it starts get the original soft limit: programs that use ``select``, or that close all possible descriptors, depend on
a small one.
"""

from __future__ import annotations

import resource

__all__ = ["for_children", "most", "raise_limit"]

_original: tuple[int, int] | None = None


def raise_limit() -> None:
    """Raise the soft limit of this process to its hard limit."""
    global _original
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # the kernel allows less than an unlimited hard limit promises
        return
    _original = _original or (soft, hard)


def most() -> int:
    """The number of files that this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def for_children() -> tuple[int, int] | None:
    """The (soft, hard) limit that the commands of this process must have; None if they inherit the right one."""
    return _original
