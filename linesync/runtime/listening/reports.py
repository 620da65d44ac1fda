"""Sentences for the log of a hub or an agent, with a limit for similar sentences.

The actions of a peer may cause many sentences. A hostile or broken peer must not fill the disk with them:

1. Two sentences are similar (of the same *kind*) if they are about the same peer and differ only in numbers, quoted texts and
   lists of single capital letters. A sentence that is not about a peer is similar only to an equal sentence.
2. In each minute, the first five similar sentences are written. The others are counted. At the end of the minute, one
   sentence reports their number. If more similar sentences follow, only one such sentence is written in each minute.
3. For all sentences about one peer together, the limit is ten times as high.
4. If there are more than a thousand kinds in a minute, all further kinds count as one kind.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from ... import limits

__all__ = ["LogLimit", "RepeatFilter", "Report", "Reports", "kind_of"]

_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|\b[A-Z](?:, [A-Z])*\b|\S*\d\S*")
_KIND_CHARS = 200  # the most characters of a kind
_ALL_KINDS = 10  # the limit for all sentences about one peer is this multiple of the limit for one kind
_OTHERS = ("", "")  # the key of all kinds above the limit for kinds


class Report(Protocol):
    """Writes a sentence to the log."""

    def __call__(self, sentence: str, *, peer: str = "", burst: int = 0) -> None:
        """Write a sentence, unless there were too many similar sentences.

        :param peer: the line or host that caused the sentence; empty if no peer caused it.
        :param burst: the number of similar sentences that are written in a minute; 0 for ``limits.LOG_BURST``.
        """


def kind_of(sentence: str) -> str:
    """The kind of a sentence: its text without the parts in which similar sentences differ."""
    return _VARIABLE.sub("#", sentence)[:_KIND_CHARS]


class _Window:
    """The sentences of one kind in one period."""

    __slots__ = ("ends", "last", "left_out", "written")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.written = 0
        self.left_out = 0
        self.last = ""


class LogLimit:
    """Decides which sentences are written. Pure; ``now`` is monotonic seconds."""

    def __init__(self) -> None:
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()  # bound: limits.LOG_KINDS

    def admits(self, sentence: str, peer: str, now: float, burst: int = 0) -> bool:
        """Whether a sentence is written. Otherwise it is counted."""
        burst = burst or limits.LOG_BURST
        while self._windows and (first := next(iter(self._windows.values()))).ends <= now and not first.left_out:
            self._windows.popitem(last=False)
        kind = self._window((kind_of(sentence) if peer else sentence, peer), now)
        all_kinds = self._window(("", peer), now) if peer else kind
        for window, limit in ((kind, burst), (all_kinds, burst if all_kinds is kind else burst * _ALL_KINDS)):
            if window.written >= limit:
                window.left_out += 1
                window.last = sentence
                return False
        kind.written += 1
        if all_kinds is not kind:
            all_kinds.written += 1
        return True

    def _window(self, key: tuple[str, str], now: float) -> _Window:
        window = self._windows.get(key)
        if window is None and len(self._windows) >= limits.LOG_KINDS:
            key = _OTHERS
            window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(now + limits.LOG_PERIOD)
        return window

    def next_timer(self) -> float | None:
        """The time of the next call of :meth:`handle_timer`, or None."""
        return next(iter(self._windows.values())).ends if self._windows else None

    def handle_timer(self, now: float) -> list[str]:
        """End the periods that are over. Returns the sentences that report the numbers of omitted sentences."""
        sentences = []
        while self._windows and (window := next(iter(self._windows.values()))).ends <= now:
            key, _ = self._windows.popitem(last=False)
            if window.left_out:
                sentences.append(_left_out(window))
                window.ends, window.left_out = now + limits.LOG_PERIOD, 0
                self._windows[key] = window  # written stays at the limit, so the next period reports only its number
        return sentences

    def flush(self) -> list[str]:
        """End all periods. Returns the sentences that report the numbers of omitted sentences."""
        sentences = [_left_out(window) for window in self._windows.values() if window.left_out]
        self._windows.clear()
        return sentences


def _left_out(window: _Window) -> str:
    lines = "1 similar line was" if window.left_out == 1 else f"{window.left_out} similar lines were"
    return f"{lines} omitted from the log; the last line: {window.last}"


class Reports:
    """A log with a limit for similar sentences. It implements :class:`Report`.

    :param write: writes a sentence.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._limit = LogLimit()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, sentence: str, *, peer: str = "", burst: int = 0) -> None:
        if self.admits(sentence, peer, burst):
            self._write(sentence)

    def admits(self, sentence: str, peer: str = "", burst: int = 0) -> bool:
        """Whether the caller may write a sentence now. If not, the sentence is counted."""
        admitted = self._limit.admits(sentence, peer, self._loop.time(), burst)
        if not admitted:
            self._set_timer()
        return admitted

    def _set_timer(self) -> None:
        period_end = self._limit.next_timer()
        if self._timer is None and period_end is not None:
            self._timer = self._loop.call_at(period_end, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        counted = self._limit.handle_timer(self._loop.time())
        for sentence in counted:
            self._write(sentence)
        if self._limit.next_timer() is not None:
            self._set_timer()

    def close(self) -> None:
        """Report the numbers of the sentences that were omitted so far."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for sentence in self._limit.flush():
            self._write(sentence)


class RepeatFilter(logging.Filter):
    """Limits the similar records of a logger, such as the logger with which asyncio reports failures of tasks and callbacks.

    :param reports: counts the records, and reports the number of omitted records.
    """

    def __init__(self, reports: Reports) -> None:
        super().__init__()
        self._reports = reports

    def filter(self, record: logging.LogRecord) -> bool:
        return self._reports.admits(record.getMessage().partition("\n")[0], record.name)
