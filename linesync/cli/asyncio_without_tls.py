"""asyncio without OpenSSL, for processes that do not use TLS.

asyncio imports ``ssl`` if it can. That costs an agent three mebibytes of memory and a tenth of its start-up time. asyncio
works without this module, and a later ``import ssl`` still works.
"""

from __future__ import annotations

import sys

__all__ = ["asyncio"]

_hide_ssl = not {"ssl", "asyncio"} & sys.modules.keys()
if _hide_ssl:
    sys.modules["ssl"] = None  # type: ignore[assignment]
try:
    import asyncio
finally:
    if _hide_ssl:
        del sys.modules["ssl"]
