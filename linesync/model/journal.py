"""Tracks which objects of a model have changed (dirty marks), and makes their rows for a store. It is not a log of changes.

1. A service marks an object where it changes it. A mark is one dictionary entry, and makes no record.
2. :meth:`Journal.take` makes one current record of each marked object. An object that changed twice since the last call
   therefore costs one row. An object that was created and removed since then costs no row.
3. A row has a kind, a key and a record (:mod:`linesync.model.kept`). The kind and the key identify the object.
4. The order of objects survives a restart. Objects get increasing sequence numbers from :meth:`Journal.number`, and their
   records contain these numbers. A restored model continues above the highest number.

A journal that is off keeps no marks. In a hub that stores nothing, each change therefore costs only one call and one
comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from .kept.objects import KeptCounter
from .state.record import State

__all__ = ["Journal", "Key", "Row", "text_of"]

Key: TypeAlias = str | int | tuple[str, ...] | tuple[str, str, int]
"""Identifies an object within its kind. No part contains a tab."""

Row: TypeAlias = tuple[str, str, State | None]
"""Kind, key and record of an object; the record is None if the object no longer exists."""


class Journal:
    """The dirty marks of one model, and the functions that make its records.

    :param on: whether marks are kept.
    """

    def __init__(self, *, on: bool = True) -> None:
        self.on = on
        self._marks: dict[tuple[str, Key], bool] = {}
        self._taken: list[tuple[str, Key]] = []
        """The objects of the rows of the last :meth:`take`."""
        self._sources: dict[str, tuple[Callable[[Any], State | None], Callable[[], Iterable[Key]]]] = {}
        self._counters: dict[str, Callable[[], int]] = {}
        self._number = 0
        self.source("counter", lambda name: KeptCounter(self._counters[name]()), lambda: self._counters)

    def source(self, kind: str, record: Callable[[Any], State | None], keys: Callable[[], Iterable[Key]]) -> None:
        """Register the functions that make the records of a kind.

        :param record: returns the current record of the object with a key, or None if there is no such object.
        :param keys: returns the keys of all objects of the kind.
        """
        self._sources[kind] = record, keys

    def counter(self, name: str, value: Callable[[], int]) -> None:
        """Register the function that returns the value of a counter. The row has the kind ``counter`` and the name as its key."""
        self._counters[name] = value
        self.mark("counter", name, new=True)

    def mark(self, kind: str, key: Key, *, new: bool = False) -> None:
        """Mark an object as changed.

        :param new: whether the object did not exist before this change.
        """
        if self.on:
            self._marks.setdefault((kind, key), new)

    def mark_all(self) -> None:
        """Mark all objects as changed."""
        for kind, (_, keys) in self._sources.items():
            for key in keys():
                self.mark(kind, key, new=True)

    def take(self) -> list[Row]:
        """The current rows of all objects that have changed since the last call."""
        marks, self._marks = self._marks, {}
        rows: list[Row] = []
        self._taken = []
        for (kind, key), new in marks.items():
            record = self._sources[kind][0](key)
            if record is not None or not new:
                rows.append((kind, text_of(key), record))
                self._taken.append((kind, key))
        return rows

    def put_back(self) -> None:
        """The rows of the last :meth:`take` were not stored: mark their objects again."""
        for mark in self._taken:
            self._marks[mark] = False
        self._taken = []

    def all(self) -> list[Row]:
        """The rows of all objects, for an export."""
        rows: list[Row] = []
        for kind, (record, keys) in self._sources.items():
            rows += [(kind, text_of(key), current) for key in keys() if (current := record(key)) is not None]
        return rows

    def number(self) -> int:
        """Return a new sequence number, larger than all earlier numbers."""
        self._number += 1
        return self._number

    def numbered(self, number: int) -> int:
        """Register the sequence number of a restored object, so that the next numbers are larger. Return it."""
        self._number = max(self._number, number)
        return number


def text_of(key: Key) -> str:
    """The text of a key, as the store contains it."""
    return "\t".join(map(str, key)) if isinstance(key, tuple) else str(key)
