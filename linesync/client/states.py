"""Reads the states that the hub sends as JSON."""

from __future__ import annotations

from ..errors import LinesyncFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from ..model.state.record import State

    S = TypeVar("S", bound=State)

__all__ = ["read_each", "read_json", "read_state"]


def read_json(text: str | bytes) -> object:
    """Decode a JSON document from the hub.

    :raises LinesyncFailed: the text is not JSON.
    """
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(error) from None


def read_state(kind: type[S], value: object) -> S:
    """Make a state record from decoded JSON.

    :raises LinesyncFailed: the value is not such a record.
    """
    try:
        return kind.from_json(value)
    except ValueError as error:
        raise _unreadable(error) from None


def read_each(kind: type[S], values: object) -> list[S]:
    """Make a list of state records from decoded JSON. Raises the errors of :func:`read_state`."""
    if not isinstance(values, list):
        raise _unreadable(ValueError("it is not a list"))
    return [read_state(kind, value) for value in values]


def _unreadable(error: Exception) -> LinesyncFailed:
    return LinesyncFailed(
        f"the hub sent a state that cannot be read ({error}); update linesync on one of the two sides"
    )
