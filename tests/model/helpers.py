"""Helpers for the tests of the model."""

from __future__ import annotations

from collections.abc import Iterable, Sized

from hypothesis import settings

from linesync.errors import LinesyncError
from linesync.model.decisions import Event, Failed, Granted, Value
from linesync.model.participants import Client
from linesync.model.sync.waits import Waits


def client(host: str, number: str = "1") -> Client:
    return Client(host, number)


def granted(events: Iterable[Event]) -> dict[str, Value]:
    """Return the value that each arrival got, by arrival id, in order."""
    return {event.arrival: event.value for event in events if isinstance(event, Granted)}


def failed(events: Iterable[Event]) -> dict[str, LinesyncError]:
    """Return the error of each arrival that failed, by arrival id, in order."""
    return {event.arrival: event.error for event in events if isinstance(event, Failed)}


def only_error(events: Iterable[Event]) -> LinesyncError:
    """Return the error of the only event, which must be a failure."""
    (event,) = events
    assert isinstance(event, Failed)
    return event.error


def assert_empty(waits: Waits) -> None:
    """Check that no table of the waits and the results has an entry left after the hub has taken the changes."""
    waits.take_noted()
    for part in (waits, waits._results):
        assert {name: len(table) for name, table in vars(part).items() if isinstance(table, Sized) and len(table)} == {}
    assert waits.next_timer() is None


def profile() -> settings:
    """The profile of conftest.py, for one state machine; it does not change the settings of other tests."""
    return settings.get_profile("model")
