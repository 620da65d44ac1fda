"""Measures how long a process takes, to the microsecond.

``Popen.wait(timeout)`` polls, at first every 0.5 ms and later every 50 ms. So all times measured with it are rounded up to
16, 32, 65, 115, 165 ... ms. A pidfd reports the end of a process immediately.
"""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Sequence
from time import perf_counter

__all__ = ["timed", "wait_exactly"]


def wait_exactly(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Wait until a process ends; return its exit status.

    :raises subprocess.TimeoutExpired: it still runs after ``seconds``.
    """
    descriptor = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(max(seconds, 0.0) * 1000):
            raise subprocess.TimeoutExpired(process.args, seconds)
    finally:
        os.close(descriptor)
    return process.wait()


def timed(argv: Sequence[str], seconds: float) -> float:
    """Run a command and discard its output; return the seconds that it took.

    :raises subprocess.CalledProcessError: it failed; the error has its stderr.
    :raises subprocess.TimeoutExpired: it took too long and was killed.
    """
    began = perf_counter()
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            status = wait_exactly(process, seconds)
            took = perf_counter() - began
        except BaseException:
            process.kill()
            raise
        assert process.stderr is not None
        output = process.stderr.read(2000)
    if status:
        raise subprocess.CalledProcessError(status, list(argv), stderr=output)
    return took
