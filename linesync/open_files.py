"""The limit of open files of this process.

A hub or an agent raises its soft limit to the hard limit, because it needs a descriptor for each connection. The commands
that it starts get the original soft limit, because some programs depend on a small limit: programs that use ``select``, or
that close all possible descriptors.
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
    except (OSError, ValueError):  # with an unlimited hard limit, the kernel still refuses an unlimited soft limit
        return
    _original = _original or (soft, hard)


def most() -> int:
    """The maximum number of files that this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def for_children() -> tuple[int, int] | None:
    """The (soft, hard) limit for the commands of this process; None if they inherit the right limit."""
    return _original
