"""Points in time as text: UTC in the form of ISO 8601, ``2026-03-01T12:00:00.123Z``."""

from __future__ import annotations

import time
from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["AGES", "utc", "with_times"]

AGES = ("since", "heard", "waiting", "released")
"""The fields of JSON documents that are ages in seconds."""


def utc(seconds: float) -> str:
    """A point in time as text.

    :param seconds: seconds since the epoch.
    """
    whole, thousandths = divmod(int(seconds * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{thousandths:03}Z"


def with_times(value: Any, now: float) -> Any:
    """A copy of a JSON document with a point in time after each age: ``heard_at`` after ``heard``.

    :param now: the time at which the ages were measured, in seconds since the epoch.
    """
    if isinstance(value, list | tuple):
        return [with_times(item, now) for item in value]
    if not isinstance(value, Mapping):
        return value
    result = {}
    for key, item in value.items():
        result[key] = with_times(item, now)
        if key in AGES and isinstance(item, int | float) and not isinstance(item, bool):
            result[f"{key}_at"] = utc(now - item)
    return result
