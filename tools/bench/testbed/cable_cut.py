"""A cable that is pulled in the middle of a transfer and put back: by hand, as it were, since it must happen at a time
that counts from the transfer's start."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from linesync.testing.nullmodem import NullModem

__all__ = ["Cut", "CutOff", "growing"]

_LOOK = 0.002  # seconds between two looks at the file that grows


@dataclass(frozen=True, slots=True)
class Cut:
    """When, both in seconds from the transfer's start."""

    at: float
    duration: float


@dataclass(slots=True)
class CutOff:
    """Pulls and plugs a cable in a thread of its own, from ``with`` on.

    :ivar resumed: seconds from the line's return until more of the file had arrived; None if nobody looked, or none did.
    """

    cable: NullModem
    cut: Cut
    arrived: Callable[[], int] | None = None
    """Bytes of the file that are there."""
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
    """The size of what is on its way to ``target``: linesync writes beside it, unbuffered, and renames at the end."""

    def size() -> int:
        found = [target, *target.parent.glob(f".{target.name}.*.linesync")]
        sizes = []
        for path in found:
            try:
                sizes.append(path.stat().st_size)
            except OSError:
                pass  # not there yet, or not any more
        return max(sizes, default=0)

    return size
