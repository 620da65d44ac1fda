"""The line on the terminal that shows the progress of a transfer."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

__all__ = ["Progress", "clear_line", "fitted"]

_INTERVAL = 0.1  # seconds between two updates
_WIDTH = 80  # columns of a terminal of unknown width
_drawn = 0
"""The number of columns that the progress uses on its line now."""


def fitted(done: int, total: int, seconds: float, columns: int) -> str:
    """The text of the progress in at most ``columns`` columns. If it is too long, the least important parts are omitted.

    :param done: the number of transferred bytes.
    :param total: the number of all bytes.
    :param seconds: the time since the start of the transfer.
    """
    rate = done / max(seconds, 1e-3)
    seconds_left = (total - done) / rate if rate else 0.0
    parts = [
        (0, f"{done / max(total, 1):4.0%}"),
        (3, f"{done:,} of {total:,} bytes"),
        (2, f"{rate / 1000:,.1f} kB/s"),
        (1, f"{seconds_left:.0f} s left"),
    ]
    for ranks in range(len(parts), 0, -1):
        text = "  ".join(text for rank, text in parts if rank < ranks)
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

    :param now: the clock in seconds; by default, the monotonic clock.
    :param delay: the seconds until the line is shown for the first time.
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
        # The last column stays empty, because a character in it makes some terminals wrap the line.
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
    """The current width of the terminal in columns. It may change at any time."""
    try:
        return os.get_terminal_size(2).columns or _WIDTH
    except OSError:
        return _WIDTH
