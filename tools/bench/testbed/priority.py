"""Measuring on a machine that other processes use.

The times measured on a line are a few milliseconds. Another process that holds the processor for its time slice would be
most of such a time. So, if it is permitted (to root), the parts that measure a line run under the real-time round-robin
policy: the cable, linesync and its rivals, and all that they start. They need only a fraction of a processor.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ahead_of_others"]


@contextmanager
def ahead_of_others() -> Iterator[bool]:
    """While the block runs, schedule this process and those that it starts before others; yields whether that worked."""
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
