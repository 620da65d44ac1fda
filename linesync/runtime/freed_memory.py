"""Returns memory to the system after a session that has carried much data.

The C library keeps freed memory for later use. After much data, it may keep all this memory in a process that runs for months.
"""

from __future__ import annotations

import asyncio
import ctypes
from contextlib import suppress
from functools import cache
from typing import Any
from weakref import WeakSet

__all__ = ["return_soon"]

_DELAY = 0.25  # seconds until the data of the session is freed; one call serves all sessions that end in this time

_waiting: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
"""The loops that will return memory."""


@cache
def _trim() -> Any:
    with suppress(OSError, AttributeError):  # not every C library has malloc_trim
        return ctypes.CDLL(None).malloc_trim
    return lambda _: None


def return_soon(loop: asyncio.AbstractEventLoop) -> None:
    """Return all freed memory to the system after a quarter of a second. This takes about a millisecond."""
    if loop not in _waiting:
        _waiting.add(loop)
        loop.call_later(_DELAY, _return, loop)


def _return(loop: asyncio.AbstractEventLoop) -> None:
    _waiting.discard(loop)
    _trim()(0)
