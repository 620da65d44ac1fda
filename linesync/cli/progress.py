"""The progress of a transfer, for display."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

__all__ = ["Progress", "clear_line", "fitted"]

_INTERVAL = 0.1  # seconds between two updates
_WIDTH = 80  # columns of a terminal of unknown width
_drawn = 0
"""The columns of the line that the progress occupies at the moment."""


def fitted(done: int, total: int, seconds: float, columns: int) -> str:
    """The text of the progress in at most ``columns`` columns. The least important parts are omitted first."""
    rate = done / max(seconds, 1e-3)
    left = (total - done) / rate if rate else 0.0
    parts = [
        (0, f"{done / max(total, 1):4.0%}"),
        (3, f"{done:,} of {total:,} bytes"),
        (2, f"{rate / 1000:,.1f} kB/s"),
        (1, f"{left:.0f} s left"),
    ]
    for least in range(len(parts), 0, -1):
        text = "  ".join(text for rank, text in parts if rank < least)
        if len(text) <= columns:
            return text
    return ""


def clear_line() -> None:
    """Clear the line of the progress, so that a sentence can be printed there."""
    global _drawn
    if _drawn:
        sys.stderr.write(f"\r{' ' * _drawn}\r")
        _drawn = 0


class Progress:
    """A line on the terminal with the progress of a transfer. Its owner calls :meth:`done` at the end, even after an error.

    :param delay: seconds before it is shown for the first time.
    """

    def __init__(self, now: Callable[[], float] | None = None, *, delay: float = 0.0) -> None:
        self._now = now or time.monotonic
        self._start = self._now()
        self._next = self._start + delay
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        global _drawn
        now = self._now()
        if now < self._next and not (self._shown and done >= total):
            return
        self._next = now + _INTERVAL
        self._shown = True
        # The last column stays free: a character there would make some terminals wrap.
        text = fitted(done, total, now - self._start, _columns() - 1)
        sys.stderr.write(f"\r{text.ljust(min(_drawn, _columns() - 1))}")
        sys.stderr.flush()
        _drawn = len(text)

    def done(self) -> None:
        """End the line."""
        global _drawn
        if _drawn:
            sys.stderr.write("\n")
            sys.stderr.flush()
        _drawn = 0


def _columns() -> int:
    """The present width of the terminal, which may change."""
    try:
        return os.get_terminal_size(2).columns or _WIDTH
    except OSError:
        return _WIDTH
