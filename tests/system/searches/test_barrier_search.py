"""Compare barriers by count with a reference, over lossy lines."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from linesync.client.aio import Client

from .reference import Ask, Reference
from .search import Search, asking, profile


class Barriers(Reference):
    """The first COUNT arrivals are released together as soon as all their hosts are known to be alive. Further arrivals
    before that are the first ones of the next generation."""

    def __init__(self) -> None:
        super().__init__()
        self.there: dict[str, tuple[int, dict[str, str]]] = {}  # by name: the count, and the host of each arrival
        self.used: dict[str, int] = {}

    def ask(self, arrival: str, host: str, what: tuple[str, int]) -> None:
        name, count = what
        stands, there = self.there.setdefault(name, (count, {}))
        if stands == count:
            there[arrival] = host
        else:
            self.no(arrival, "Mismatch")

    def leave(self, arrival: str) -> None:
        for name, (_, there) in list(self.there.items()):
            there.pop(arrival, None)
            if not there:
                del self.there[name]

    def patience(self, arrival: str) -> float:
        return max(
            (list(there).index(arrival) + 1 == count for count, there in self.there.values() if arrival in there)
        )

    def moves(self) -> list[tuple[str, list[str]]]:
        stands = self.there.items()
        return [(name, list(there.values())[:count]) for name, (count, there) in stands if len(there) >= count]

    def move(self, name: str) -> None:
        count, there = self.there[name]
        gone = list(there)[:count]
        hosts = tuple(there[arrival] for arrival in gone)
        self.used[name] = self.used.get(name, 0) + 1
        for place, arrival in enumerate(gone, 1):
            self.yes(arrival, (self.used[name], place, hosts))
            self.leave(arrival)

    def view(self) -> Any:
        return {name: (count, list(there.values())) for name, (count, there) in self.there.items()}


class BarrierSearch(Search):
    REFERENCE = Barriers
    ASKS = asking(st.sampled_from([("p", 2), ("p", 2), ("p", 2), ("q", 3), ("q", 3), ("p", 3), ("r", 1)]))

    async def request(self, client: Client, ask: Ask) -> Any:
        name, count = ask.what
        got = await client.barrier(name, count, timeout=ask.timeout, arrival=ask.name)
        return got.generation, got.position, got.parties

    def view(self, status: dict[str, Any]) -> Any:
        return {row["name"]: (row["count"], [who["name"] for who in row["arrived"]]) for row in status["barriers"]}


BarrierSearch.TestCase.settings = profile()
TestBarrierSearch = BarrierSearch.TestCase
