"""The lower limits for the time of a round trip: the line time of its own bytes, and the time without linesync."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import statistics
import time
from collections.abc import Awaitable, Callable

import linesync
from linesync.errors import EndOfStream, LinesyncError
from linesync.testing.nullmodem import NullModem

from ..testbed.system import HOST, BenchError, LineSystem

__all__ = ["Trip", "bare_trips", "own_bytes"]

_TRACE = re.compile(r"^\S+ (?P<way>[<>]) +(?P<length>\d+) (?P<rest>.*)$")
_TRACED = 6  # trips that are traced for their frames' lengths

Trip = Callable[[], Awaitable[object]]


async def own_bytes(system: LineSystem, trip: Trip) -> tuple[float, float]:
    """The mean lengths of the request frame and of the reply frame in bytes, including the newline.

    :param trip: makes a round trip with the client that was measured before. A new client would have shorter request ids in
        its frames.
    """
    async with await linesync.connect(system.hub) as watcher:
        stream = watcher.trace(HOST)
        await asyncio.sleep(0.2)
        for _ in range(_TRACED):
            await trip()
            await asyncio.sleep(0.25)
        lines: list[str] = []
        with contextlib.suppress(EndOfStream, LinesyncError):
            while (item := stream.receive_nowait()) is not None:
                lines += item.data.decode().splitlines()
        stream.end()
    # In the trace, a line about an event (not a frame) has the length 0.
    frames = [found for found in map(_TRACE.match, lines) if found and found["length"] != "0"]
    requests = [int(found["length"]) for found in frames if found["way"] == "<" and " sem " in found["rest"]]
    replies = [int(found["length"]) for found in frames if found["way"] == ">" and " ok " in found["rest"]]
    if not requests or not replies:
        # The format of the payloads in the trace may have changed, so count every prompt frame.
        prompt = [found for found in frames if found["rest"].startswith("prompt")]
        requests = [int(found["length"]) for found in prompt if found["way"] == "<"]
        replies = [int(found["length"]) for found in prompt if found["way"] == ">"]
    if not requests or not replies:
        raise BenchError("the trace of the line lacks a request or a reply: " + " | ".join(lines[:6]))
    return statistics.fmean(requests), statistics.fmean(replies)


def bare_trips(baud: int, request: int, reply: int, trips: int) -> list[float]:
    """The times in seconds of round trips with the same numbers of bytes without linesync, over a null modem.

    :param request: the number of bytes of a request.
    :param reply: the number of bytes of a reply.
    """
    rng, times = random.Random(5), []
    with NullModem(baud=baud) as cable:
        a, b = (os.open(path, os.O_RDWR | os.O_NOCTTY) for path in (cable.a, cable.b))
        try:
            for _ in range(trips):
                time.sleep(rng.uniform(0.01, 0.03))
                began = time.perf_counter()
                for sender, receiver, size in ((b, a, request), (a, b, reply)):
                    os.write(sender, b"x" * size)
                    while size > 0:
                        size -= len(os.read(receiver, 4096))
                times.append(time.perf_counter() - began)
        finally:
            os.close(a)
            os.close(b)
    return times
