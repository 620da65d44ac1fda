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
    """A point in time.

    :param seconds: since the epoch.
    """
    whole, thousandths = divmod(int(seconds * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{thousandths:03}Z"


def with_times(value: Any, now: float) -> Any:
    """A JSON document with a point in time beside each age: ``heard_at`` after ``heard``.

    :param now: seconds since the epoch at which the ages were measured.
    """
    if isinstance(value, list | tuple):
        return [with_times(one, now) for one in value]
    if not isinstance(value, Mapping):
        return value
    found = {}
    for key, one in value.items():
        found[key] = with_times(one, now)
        if key in AGES and isinstance(one, int | float) and not isinstance(one, bool):
            found[f"{key}_at"] = utc(now - one)
    return found
