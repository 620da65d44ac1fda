"""Unplugs a cable during a transfer, and plugs it in again.

A thread does this, because the times are relative to the start of the transfer. (The times of a null modem's faults are
relative to the start of the null modem.)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from linesync.testing.nullmodem import NullModem

__all__ = ["Cut", "CutOff", "arrived_bytes_of_copy"]

_CHECK_INTERVAL = 0.002  # seconds between two checks of the size of the copy


@dataclass(frozen=True, slots=True)
class Cut:
    """A time for which the cable is unplugged."""

    at: float
    """The start, in seconds from the start of the transfer."""
    duration: float
    """The duration in seconds."""


@dataclass(slots=True)
class CutOff:
    """Unplugs a cable and plugs it in again, in a thread that starts with the ``with`` block.

    :ivar resumed: the seconds from the moment when the cable was plugged in again until more bytes of the file arrived. None
        if no bytes arrived, or without ``arrived``.
    """

    cable: NullModem
    cut: Cut
    arrived: Callable[[], int] | None = None
    """Returns the number of bytes of the file that have arrived."""
    resumed: float | None = None
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> CutOff:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        assert self._thread is not None
        self._thread.join()

    def _run(self) -> None:
        if self._end.wait(self.cut.at):
            return
        self.cable.pull()
        self._end.wait(self.cut.duration)
        before = self.arrived() if self.arrived else 0
        self.cable.plug()
        plugged_in_at = time.monotonic()
        while self.arrived and not self._end.wait(_CHECK_INTERVAL):
            if self.arrived() > before:
                self.resumed = time.monotonic() - plugged_in_at
                return


def arrived_bytes_of_copy(target: Path) -> Callable[[], int]:
    """Make a function that returns the number of bytes of a copy to ``target`` that have arrived.

    linesync writes the bytes without buffering into a temporary file next to the target, and renames the file at the end.
    """

    def size() -> int:
        found = [target, *target.parent.glob(f".{target.name}.*.linesync")]
        sizes = []
        for path in found:
            try:
                sizes.append(path.stat().st_size)
            except OSError:
                pass  # the file does not exist yet, or was renamed
        return max(sizes, default=0)

    return size
