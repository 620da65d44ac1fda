"""asyncio without OpenSSL, for processes that do not use TLS.

asyncio loads OpenSSL if it finds it. That costs an agent three mebibytes of memory and a tenth of its start-up time. asyncio
works without it, and a later ``import ssl`` still works.
"""

from __future__ import annotations

import sys

__all__ = ["asyncio"]

_leave_out = not {"ssl", "asyncio"} & sys.modules.keys()
if _leave_out:
    sys.modules["ssl"] = None  # type: ignore[assignment]
try:
    import asyncio
finally:
    if _leave_out:
        del sys.modules["ssl"]
