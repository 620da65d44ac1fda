"""All kinds of stored rows, and their reader."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, NoReturn, TypeVar

from ...errors import LinesyncError, LinesyncFailed
from ..state.record import State
from .groups import (
    KeptEndedMember,
    KeptEntry,
    KeptGroup,
    KeptGroupData,
    KeptGroupMember,
    KeptPastRound,
    KeptServices,
)
from .objects import (
    KeptBarrier,
    KeptCounter,
    KeptEvent,
    KeptExchange,
    KeptFailure,
    KeptGathering,
    KeptGiven,
    KeptHost,
    KeptLingering,
    KeptLock,
    KeptMark,
    KeptMessageRow,
    KeptNamespace,
    KeptPast,
    KeptSemaphore,
    KeptTerms,
    KeptTime,
    KeptTopic,
)
from .testbus import KeptEnding, KeptObject, KeptPlaced, KeptStart, KeptVariable
from .values import Clients
from .waits import KeptResult, KeptWait

__all__ = ["KINDS", "BadRow", "Rows", "by_key", "by_number"]

_PAST: dict[str, type[State]] = {
    "terms": KeptTerms,
    "past": KeptPast,
    "lingering": KeptLingering,
    "failure": KeptFailure,
    "notified": KeptMark,
}
KINDS: dict[str, type[State]] = {
    "counter": KeptCounter,
    "time": KeptTime,
    "host": KeptHost,
    "namespace": KeptNamespace,
    "wait": KeptWait,
    "result": KeptResult,
    "semaphore": KeptSemaphore,
    "lock": KeptLock,
    "barrier": KeptBarrier,
    **{f"barrier {suffix}": record for suffix, record in _PAST.items()},
    "exchange": KeptExchange,
    "exchange given": KeptGiven,
    **{f"exchange {suffix}": record for suffix, record in _PAST.items()},
    "event": KeptEvent,
    "topic": KeptTopic,
    "message": KeptMessageRow,
    "gathering": KeptGathering,
    "group": KeptGroup,
    "group data": KeptGroupData,
    "group past": KeptPastRound,
    "group services": KeptServices,
    "group member": KeptGroupMember,
    "group entry": KeptEntry,
    "group ended": KeptEndedMember,
    "test object": KeptObject,
    "test variable": KeptVariable,
    "test start": KeptStart,
    "test ending": KeptEnding,
    "test placed": KeptPlaced,
}
"""The record of each kind of row."""

_Record = TypeVar("_Record", bound=State)
_BATCH = 1000  # the number of rows whose JSON is parsed in one call
_BAD = (ValueError, KeyError, LinesyncError, RecursionError)
"""The errors that reading and restoring raise for an invalid row."""


class BadRow(LinesyncFailed):
    """A stored row cannot be restored: it is damaged, contradicts the other rows, or is from a newer version."""

    def __init__(self, kind: str, key: str, why: str) -> None:
        shown = key.replace("\t", " ")
        super().__init__(
            f"cannot restore the state of the hub: the stored {kind} {shown!a:.200} is not valid: {why}; restore a backup of"
            " the state, or start the hub with an empty state",
            details={"kind": kind, "key": key},
        )


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


_read = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _values(rows: list[tuple[str, str, str]]) -> list[Any]:
    """The JSON values of a batch of rows. Parsing the batch in one call takes half the time of parsing each row."""
    try:
        values: list[Any] = _read(f"[{','.join([text for _, _, text in rows])}]")
        if len(values) == len(rows):
            return values
    except _BAD:
        pass  # a row is invalid; the loop below finds the row
    values = []
    for kind, key, text in rows:
        try:
            values.append(_read(text))
        except _BAD as error:
            raise BadRow(kind, key, str(error)) from None
    return values


class Rows:
    """The rows of a store, by kind.

    :ivar shift: the number of seconds that is added to each stored time.
    :ivar now: the current time in monotonic seconds.
    :ivar clients: makes the clients of the records.
    """

    def __init__(self, rows: Iterable[tuple[str, str, str]], shift: float, now: float) -> None:
        """Read the rows: kind, key and the JSON of the record.

        :raises BadRow: a row is not valid, or its kind is not known.
        """
        self.shift = shift
        self.now = now
        self.clients = Clients()
        self._kinds: dict[str, list[tuple[str, Any]]] = {kind: [] for kind in KINDS}
        all_rows = iter(rows)
        while batch := list(islice(all_rows, _BATCH)):
            for (kind, key, _), value in zip(batch, _values(batch), strict=True):
                try:
                    self._kinds[kind].append((key, KINDS[kind].from_json(value)))
                except _BAD as error:
                    why = "this version of linesync does not know its kind" if kind not in KINDS else str(error)
                    raise BadRow(kind, key, why) from None

    def counter(self, name: str, least: int) -> int:
        """The stored value of a counter, or ``least`` if that is larger or no value is stored."""
        return max([least, *(int(record.value) for key, record in self._kinds["counter"] if key == name)])

    def each(
        self,
        kind: str,
        record: type[_Record],
        restore: Callable[[list[str], _Record], object],
        order: Callable[[list[str], _Record], int] | None = None,
    ) -> None:
        """Call ``restore`` with the parts of the key and the record of each row of a kind.

        :param order: returns the sort key of a row, which decides the order of the calls; None for any order.
        :raises BadRow: ``restore`` or ``order`` raised ValueError, KeyError or a LinesyncError for a row.
        """
        assert KINDS[kind] is record
        rows = [(key.split("\t"), stored) for key, stored in self._kinds[kind]]
        parts: list[str] = []
        try:
            if order is not None:
                sort_keys = []
                for parts, stored in rows:
                    sort_keys.append(order(parts, stored))
                rows = [rows[index] for index in sorted(range(len(rows)), key=sort_keys.__getitem__)]
            for parts, stored in rows:
                restore(parts, stored)
        except _BAD as error:
            why = f"{error.args[0]!r} is not stored" if isinstance(error, KeyError) else str(error)
            raise BadRow(kind, "\t".join(parts), why) from None


def by_number(parts: list[str], record: Any) -> int:
    """The sort key of a row whose record has a number."""
    number: int = record.number
    return number


def by_key(parts: list[str], record: State) -> int:
    """The sort key of a row whose key ends with a number."""
    return int(parts[-1])
