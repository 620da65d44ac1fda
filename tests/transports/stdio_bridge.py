"""A program for tests: joins its ``stdio:`` line to the unix socket that its argument names."""

from __future__ import annotations

import asyncio
import sys

from linesync.transports.joined import join


async def main() -> None:
    joined = asyncio.ensure_future(join(f"unix:{sys.argv[1]}", "stdio:"))
    while sys.stdout is not sys.stderr and not joined.done():  # until the line has taken stdout
        await asyncio.sleep(0.005)
    print("a stray print")
    await joined


asyncio.run(main())
