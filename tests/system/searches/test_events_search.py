"""Compare events with a reference model, over lossy lines."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

from linesync.client.aio import Client

from .reference import Ask, Reference
from .search import Search, asking, profile


class Change(NamedTuple):
    """A request that sets or clears events."""

    names: tuple[str, ...]
    clear: bool


class Wait(NamedTuple):
    """A request that waits for all events, or for any of them."""

    names: tuple[str, ...]
    any: bool


class Events(Reference):
    """Each name is set or not. A wait ends when the events that it waits for are set at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.set: set[str] = set()
        self.waiting: dict[str, Wait] = {}

    def ask(self, arrival: str, host: str, what: Change | Wait) -> None:
        if isinstance(what, Wait):
            self.waiting[arrival] = what
        else:
            self.answer_ok(arrival, None)
            self.set = self.set - set(what.names) if what.clear else self.set | set(what.names)
        for one, wait in list(self.waiting.items()):
            found = tuple(name for name in wait.names if name in self.set)
            if len(found) == len(wait.names) or (wait.any and found):
                self.answer_ok(one, found)
                self.leave(one)

    def leave(self, arrival: str) -> None:
        self.waiting.pop(arrival, None)

    def view(self) -> Any:
        names = self.set | {name for wait in self.waiting.values() for name in wait.names}
        waiting = self.waiting.values()
        return {name: (name in self.set, [wait.any for wait in waiting if name in wait.names]) for name in names}


NAMES = st.sampled_from([("u",), ("v",), ("u", "v"), ("v", "u", "w")])


class EventSearch(Search):
    REFERENCE = Events
    ASKS = st.one_of(
        asking(st.builds(Change, NAMES, st.booleans()), st.none()),
        asking(st.builds(Wait, NAMES, st.booleans())),
    )

    async def request(self, client: Client, ask: Ask) -> Any:
        names = ask.what.names
        if isinstance(ask.what, Wait):
            return await client.wait_events(*names, any=ask.what.any, timeout=ask.timeout, arrival=ask.name)
        change = client.clear_events if ask.what.clear else client.set_events
        return await change(*names, arrival=ask.name)

    def patience(self, ask: Ask) -> float | None:
        return 10.0 if isinstance(ask.what, Change) else super().patience(ask)

    def view(self, status: dict[str, Any]) -> Any:
        return {row["name"]: (row["set"], [who["any"] for who in row["waiting"]]) for row in status["events"]}


EventSearch.TestCase.settings = profile()
TestEventSearch = EventSearch.TestCase
