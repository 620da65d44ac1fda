"""What an input changed, as rows for a store: one row for each thing that began, changed or ended.

1. A service marks a thing where it changes it. A mark is one dictionary entry, and makes no record.
2. :meth:`Journal.take` makes the present record of each marked thing, once. So a thing that changed twice in one input costs
   one row, and a thing that began and ended in it costs none.
3. A row has a kind, a key and a record (:mod:`linesync.model.kept`). The kind and the key identify the thing.
4. Order survives: things get growing numbers from :meth:`Journal.number`, their records contain these, and a restored model
   continues above the highest one.

A journal that is off keeps no marks, so a hub that stores nothing pays one call and one comparison for each change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from .kept.things import KeptCounter
from .state.record import State

__all__ = ["Journal", "Key", "Row", "text_of"]

Key: TypeAlias = str | int | tuple[str, ...] | tuple[str, str, int]
"""Identifies a thing among those of its kind. No part contains a tab."""

Row: TypeAlias = tuple[str, str, State | None]
"""Kind, key and record of a thing; None if the thing no longer exists."""


class Journal:
    """The marks of one model, and the sources of its records.

    :param on: whether marks are kept.
    """

    def __init__(self, *, on: bool = True) -> None:
        self.on = on
        self._marks: dict[tuple[str, Key], bool] = {}
        self._sources: dict[str, tuple[Callable[[Any], State | None], Callable[[], Iterable[Key]]]] = {}
        self._counters: dict[str, Callable[[], int]] = {}
        self._number = 0
        self.source("counter", lambda name: KeptCounter(self._counters[name]()), lambda: self._counters)

    def source(self, kind: str, record: Callable[[Any], State | None], keys: Callable[[], Iterable[Key]]) -> None:
        """Say where the records of a kind come from.

        :param record: returns the present record of the thing with a key, or None if there is no such thing.
        :param keys: returns the keys of all things of the kind.
        """
        self._sources[kind] = record, keys

    def counter(self, name: str, value: Callable[[], int]) -> None:
        """Say where the value of a counter comes from; its row has the kind ``counter`` and this key."""
        self._counters[name] = value
        self.mark("counter", name, new=True)

    def mark(self, kind: str, key: Key, *, new: bool = False) -> None:
        """Note that a thing has changed.

        :param new: it did not exist before.
        """
        if self.on:
            self._marks.setdefault((kind, key), new)

    def mark_all(self) -> None:
        """Note that everything that exists has changed."""
        for kind, (_, keys) in self._sources.items():
            for key in keys():
                self.mark(kind, key, new=True)

    def take(self) -> list[Row]:
        """The present state of all things that have changed since the last call."""
        marks, self._marks = self._marks, {}
        rows: list[Row] = []
        for (kind, key), new in marks.items():
            record = self._sources[kind][0](key)
            if record is not None or not new:
                rows.append((kind, text_of(key), record))
        return rows

    def all(self) -> list[Row]:
        """The state of everything, for an export."""
        rows: list[Row] = []
        for kind, (record, keys) in self._sources.items():
            rows += [(kind, text_of(key), made) for key in keys() if (made := record(key)) is not None]
        return rows

    def number(self) -> int:
        """The next number; larger than all earlier ones."""
        self._number += 1
        return self._number

    def numbered(self, number: int) -> int:
        """A restored thing has this number, so the next numbers are larger."""
        self._number = max(self._number, number)
        return number


def text_of(key: Key) -> str:
    """A key as the text under which its row is stored."""
    return "\t".join(map(str, key)) if isinstance(key, tuple) else str(key)
