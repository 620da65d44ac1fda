"""Compare barriers by count with a reference model, over lossy lines."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from linesync.client.aio import Client

from .reference import Ask, Reference
from .search import Search, asking, profile


class Barriers(Reference):
    """The first COUNT arrivals are released together as soon as all their hosts are known to be alive. Arrivals
    after these belong to the next generation."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: dict[str, tuple[int, dict[str, str]]] = {}  # by name: the count, and the host of each arrival
        self.used: dict[str, int] = {}  # by name: the number of generations

    def ask(self, arrival: str, host: str, what: tuple[str, int]) -> None:
        name, count = what
        expected, arrived = self.arrived.setdefault(name, (count, {}))
        if expected == count:
            arrived[arrival] = host
        else:
            self.answer_error(arrival, "Mismatch")

    def leave(self, arrival: str) -> None:
        for name, (_, arrived) in list(self.arrived.items()):
            arrived.pop(arrival, None)
            if not arrived:
                del self.arrived[name]

    def patience(self, arrival: str) -> float:
        return max(
            (
                list(arrived).index(arrival) + 1 == count
                for count, arrived in self.arrived.values()
                if arrival in arrived
            )
        )

    def own_steps(self) -> list[tuple[str, list[str]]]:
        barriers = self.arrived.items()
        return [(name, list(arrived.values())[:count]) for name, (count, arrived) in barriers if len(arrived) >= count]

    def take_step(self, name: str) -> None:
        count, arrived = self.arrived[name]
        released = list(arrived)[:count]
        hosts = tuple(arrived[arrival] for arrival in released)
        self.used[name] = self.used.get(name, 0) + 1
        for place, arrival in enumerate(released, 1):
            self.answer_ok(arrival, (self.used[name], place, hosts))
            self.leave(arrival)

    def view(self) -> Any:
        return {name: (count, list(arrived.values())) for name, (count, arrived) in self.arrived.items()}


class BarrierSearch(Search):
    REFERENCE = Barriers
    ASKS = asking(st.sampled_from([("p", 2), ("p", 2), ("p", 2), ("q", 3), ("q", 3), ("p", 3), ("r", 1)]))

    async def request(self, client: Client, ask: Ask) -> Any:
        name, count = ask.what
        released = await client.barrier(name, count, timeout=ask.timeout, arrival=ask.name)
        return released.generation, released.position, released.parties

    def view(self, status: dict[str, Any]) -> Any:
        return {row["name"]: (row["count"], [who["name"] for who in row["arrived"]]) for row in status["barriers"]}


BarrierSearch.TestCase.settings = profile()
TestBarrierSearch = BarrierSearch.TestCase
