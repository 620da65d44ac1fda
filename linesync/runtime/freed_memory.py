"""Returns memory to the system after much data has passed.

The C library keeps freed memory for later use. After a burst it may keep all of it, in a process that runs for months.
"""

from __future__ import annotations

import asyncio
import ctypes
from contextlib import suppress
from functools import cache
from typing import Any
from weakref import WeakSet

__all__ = ["return_soon"]

_DELAY = 0.25  # seconds: by then the data of the session is freed, and sessions that end in the meantime share the work

_waiting: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
"""The loops that will return memory."""


@cache
def _trim() -> Any:
    with suppress(OSError, AttributeError):  # a C library without malloc_trim returns memory by itself, or never
        return ctypes.CDLL(None).malloc_trim
    return lambda _: None


def return_soon(loop: asyncio.AbstractEventLoop) -> None:
    """Return all freed memory a moment later. This takes about a millisecond."""
    if loop not in _waiting:
        _waiting.add(loop)
        loop.call_later(_DELAY, _return, loop)


def _return(loop: asyncio.AbstractEventLoop) -> None:
    _waiting.discard(loop)
    _trim()(0)
