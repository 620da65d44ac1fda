"""Measures the run time of a process, to the microsecond.

``Popen.wait(timeout)`` polls, at first every 0.5 ms and later every 50 ms. It would round all times up to 16, 32, 65, 115,
165 ... ms. A pidfd reports the end of a process immediately.
"""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Sequence
from time import perf_counter

__all__ = ["timed", "wait_exactly"]


def wait_exactly(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Wait until a process ends, and return its exit status.

    :raises subprocess.TimeoutExpired: the process still runs after ``seconds``.
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
    """Run a command, discard its output, and return its run time in seconds.

    :param seconds: the longest run time.
    :raises subprocess.CalledProcessError: the command failed; the error contains its stderr.
    :raises subprocess.TimeoutExpired: the command took longer than ``seconds`` and was killed.
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
