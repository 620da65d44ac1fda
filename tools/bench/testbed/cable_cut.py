"""A cable that is unplugged in the middle of a transfer, and plugged in again.

The times count from the start of the transfer, so a thread pulls the cable; the faults of a line count from the line's
start.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from linesync.testing.nullmodem import NullModem

__all__ = ["Cut", "CutOff", "growing"]

_LOOK = 0.002  # seconds between checks of the growing file


@dataclass(frozen=True, slots=True)
class Cut:
    """When the cable is unplugged, and for how long."""

    at: float
    """Seconds from the start of the transfer."""
    duration: float
    """Seconds."""


@dataclass(slots=True)
class CutOff:
    """Unplugs a cable and plugs it in again, in a thread that starts with the ``with`` block.

    :ivar resumed: seconds from the line's return until more of the file had arrived; None without ``arrived``, or if
        nothing arrived.
    """

    cable: NullModem
    cut: Cut
    arrived: Callable[[], int] | None = None
    """Returns how many bytes of the file have arrived."""
    resumed: float | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> CutOff:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        assert self._thread is not None
        self._thread.join()

    def _run(self) -> None:
        if self._over.wait(self.cut.at):
            return
        self.cable.pull()
        self._over.wait(self.cut.duration)
        before = self.arrived() if self.arrived else 0
        self.cable.plug()
        back = time.monotonic()
        while self.arrived and not self._over.wait(_LOOK):
            if self.arrived() > before:
                self.resumed = time.monotonic() - back
                return


def growing(target: Path) -> Callable[[], int]:
    """Returns the size of a file that is being copied to ``target``: linesync writes a part file next to it, unbuffered,
    and renames it at the end."""

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
