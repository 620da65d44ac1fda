"""Measuring on a machine that others use.

On a line every byte has its time, and what is measured is some milliseconds: a process of somebody else's that holds
the processor for its slice would be most of the figure. Where it is allowed (root), the parts that measure a line
therefore run under the round-robin policy: the cable, linesync and its rivals alike, and whatever they start. They use
a fraction of a processor.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ahead_of_others"]


@contextmanager
def ahead_of_others() -> Iterator[bool]:
    """Until the block ends, this process and those it starts do not wait for others; gives whether that is so."""
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
