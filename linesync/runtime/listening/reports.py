"""Sentences for the log of a hub or an agent, with a bound on similar ones.

The actions of a peer decide how often some sentences are reported. A hostile or broken peer must not fill the disk:

1. Two sentences are similar if they are about the same peer and differ only in numbers, quoted texts and lists of single
   capital letters. A sentence that is not about a peer is similar only to itself.
2. Of similar sentences, the first five of a minute are written. The others are counted. At the end of the minute, one
   sentence gives their number. While more of them follow, only such a sentence is written each minute.
3. All sentences about one peer together have ten times that bound.
4. Beyond a thousand different kinds in a minute, all further ones count as one kind.
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
_ALL_KINDS = 10  # the bound of all sentences about one peer, as a multiple of that of one kind
_OTHERS = ("", "")


class Report(Protocol):
    """Writes a sentence to the log."""

    def __call__(self, sentence: str, *, peer: str = "", burst: int = 0) -> None:
        """Write a sentence, unless there were too many similar ones.

        :param peer: the line or host that the sentence is about and that decides how often it comes.
        :param burst: the number of similar sentences that are written in a minute; by default ``limits.LOG_BURST``.
        """


def kind_of(sentence: str) -> str:
    """The sentence without the parts in which similar sentences differ."""
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
        whole = self._window(("", peer), now) if peer else kind
        for window, most in ((kind, burst), (whole, burst if whole is kind else burst * _ALL_KINDS)):
            if window.written >= most:
                window.left_out += 1
                window.last = sentence
                return False
        kind.written += 1
        if whole is not kind:
            whole.written += 1
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
        """When to call :meth:`handle_timer`, or None."""
        return next(iter(self._windows.values())).ends if self._windows else None

    def handle_timer(self, now: float) -> list[str]:
        """End the periods that are over. Returns the sentences that give the numbers."""
        sentences = []
        while self._windows and (window := next(iter(self._windows.values()))).ends <= now:
            key, _ = self._windows.popitem(last=False)
            if window.left_out:
                sentences.append(_left_out(window))
                window.ends, window.left_out = now + limits.LOG_PERIOD, 0
                self._windows[key] = window  # still full, so the next period writes only its number
        return sentences

    def flush(self) -> list[str]:
        """The sentences that give the numbers of the unfinished periods, which end now."""
        sentences = [_left_out(window) for window in self._windows.values() if window.left_out]
        self._windows.clear()
        return sentences


def _left_out(window: _Window) -> str:
    lines = "1 similar line was" if window.left_out == 1 else f"{window.left_out} similar lines were"
    return f"{lines} left out of the log; the last one: {window.last}"


class Reports:
    """A log with a bound on similar sentences. It is a :class:`Report`.

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
        """Whether a sentence that is written elsewhere may be written now. Otherwise it is counted."""
        admitted = self._limit.admits(sentence, peer, self._loop.time(), burst)
        if not admitted:
            self._set_timer()
        return admitted

    def _set_timer(self) -> None:
        when = self._limit.next_timer()
        if self._timer is None and when is not None:
            self._timer = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        counted = self._limit.handle_timer(self._loop.time())
        for sentence in counted:
            self._write(sentence)
        if self._limit.next_timer() is not None:
            self._set_timer()

    def close(self) -> None:
        """Write the numbers of the sentences that were left out so far."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for sentence in self._limit.flush():
            self._write(sentence)


class RepeatFilter(logging.Filter):
    """Bounds the similar records of a logger; asyncio reports failures of tasks and callbacks with one.

    :param reports: counts the records, and writes their number.
    """

    def __init__(self, reports: Reports) -> None:
        super().__init__()
        self._reports = reports

    def filter(self, record: logging.LogRecord) -> bool:
        return self._reports.admits(record.getMessage().partition("\n")[0], record.name)
