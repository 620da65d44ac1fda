"""Clients that alternately take a unit of one semaphore and give it back, as fast as possible.

``python -m tools.bench.measure.turns ENDPOINT COUNT SECONDS`` runs them in a separate process and prints the result as JSON.
These clients can then use another build of linesync than the benchmark.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from time import perf_counter

from ..page.report import percentile
from ..rivals.stores import UNITS, Linesync, Store, Taker

__all__ = ["turns"]


async def turns(store: Store, count: int, seconds: float) -> dict[str, float]:
    """Run the clients for ``seconds``.

    :param count: the number of clients.
    :returns: ``rate``: operations per second of all clients together; ``trip``: the median seconds of one operation;
        ``cost``: the processor seconds of the clients' process for one operation.
    """
    await store.fill(UNITS)
    clients = [await store.client() for _ in range(count)]
    times: list[float] = []

    async def work(client: Taker) -> None:
        end = perf_counter() + seconds
        now = perf_counter()
        while now < end:
            for step in (client.take, client.give):
                await step()
                before, now = now, perf_counter()
                times.append(now - before)

    began, cost = perf_counter(), time.process_time()
    try:
        await asyncio.gather(*(work(client) for client in clients))
        rate = len(times) / (perf_counter() - began)
        return {"rate": rate, "trip": percentile(times, 0.5), "cost": (time.process_time() - cost) / len(times)}
    finally:
        await asyncio.gather(*(client.aclose() for client in clients))


if __name__ == "__main__":
    endpoint, count, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(turns(Linesync(None, endpoint), int(count), float(seconds)))))
