"""The progress of a transfer, for people who wait for it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

__all__ = ["Progress"]


class Progress:
    """A line on the terminal with the progress of a transfer, updated at most ten times a second."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._start = now()
        self._shown = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = self._now()
        if now - self._shown < 0.1 and done < total:
            return
        self._shown = now
        rate = done / max(now - self._start, 1e-3)
        left = (total - done) / rate if rate else 0.0
        text = (
            f"\r{done / max(total, 1):4.0%}  {done:,} of {total:,} bytes  {rate / 1000:,.1f} kB/s  {left:.0f} s left "
        )
        sys.stderr.write(text + "\x1b[K")
        sys.stderr.flush()

    def done(self) -> None:
        """End the line."""
        if self._shown:
            sys.stderr.write("\n")
