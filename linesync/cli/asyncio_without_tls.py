"""asyncio for processes that speak no TLS: without OpenSSL, which asyncio loads where it finds it, and which costs an agent
three mebibytes and a tenth of its start. asyncio itself works without; who imports ``ssl`` later gets it all the same."""

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
