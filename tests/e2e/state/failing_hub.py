"""Runs a hub on a disk that fails: with tools/shims/diskfaults.c preloaded, the next write or sync below the directory of the
state file fails after SIGUSR2.

    failing_hub.py ERRNO ARGUMENT...     the arguments are those of ``linesync``
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from linesync.cli.main import main


def run() -> int:
    disk = ctypes.CDLL(None)
    disk.disk_calls.restype = ctypes.c_long
    disk.disk_watch(os.getcwd().encode(), -1)
    number = int(sys.argv[1])
    signal.signal(signal.SIGUSR2, lambda *_: disk.disk_fail(ctypes.c_long(disk.disk_calls() + 1), number))
    return main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(run())
