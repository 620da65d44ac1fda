"""A priority over the other processes of the machine.

The times measured on a line are a few milliseconds. If another process used the processor for its time slice meanwhile,
this would be most of the measured time. So, if it is permitted (only root may do it), the parts that measure a line run
with the real-time round-robin policy: the cable, linesync, its rivals, and all that they start. Together they need only a
fraction of a processor.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ahead_of_others"]


@contextmanager
def ahead_of_others() -> Iterator[bool]:
    """In the block, schedule this process and those that it starts before all others. Yields whether this is permitted."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setscheduler(0, policy, parameters)
