"""Real-time priority over the other processes of the machine.

The measured times on a line are a few milliseconds. Another process that uses the processor for its time slice would cause most
of such a time. If it is permitted (only to root), the parts that measure a line therefore run with the real-time round-robin
policy. This includes the cable, linesync, its rivals, and all processes that they start. Together they need only a fraction of
a processor.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ahead_of_others"]


@contextmanager
def ahead_of_others() -> Iterator[bool]:
    """Schedule this process, and the processes that it starts in the block, before all other processes.

    Yields whether this is permitted.
    """
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
