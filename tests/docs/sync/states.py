"""The tables of states in docs/sync.md. Each row is one run of the model.

A table names its states, each with the events that lead to it from the start, and its events. Each event is tried in each
state, on a new model, and the table shows the results. An event that changes nothing and notifies no client has no row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from linesync.errors import LinesyncError
from linesync.model.decisions import Event, Exchanged, Failed, Granted, Messages, Names, Posted, Released, Revoked
from tests.model.hall import Hall

__all__ = [
    "MINUTES_10",
    "PATIENCE",
    "Do",
    "Row",
    "Stage",
    "Table",
    "busy",
    "commit",
    "confirm",
    "failing",
    "idle",
    "leaving",
    "pass_patience",
    "rows",
    "waits",
    "when",
]

Do = Callable[["Stage"], Sequence[Event]]
MINUTES_10 = 600.0


class Stage(Hall):
    """A hub with the hosts a, b and c, all heard just now, and the actions that the tables need."""

    def __init__(self) -> None:
        super().__init__("a", "b", "c")

    def row(self, kind: str) -> Mapping[str, Any] | None:
        """The row of ``status`` for the only thing of this kind, as JSON."""
        found: Any = self.services.status(self.now).as_json()[kind]
        return found[0] if found else None

    # -- events that several tables have -----------------------------------------------------------------------------

    def member(self, arrival: str, *, who: str = "", timeout: float | None = None, **how: Any) -> list[Event]:
        """A member of the barrier arrives; the first letter of the arrival is its host."""
        return self.barrier(arrival, who or arrival[0], how.pop("party", "a,b"), timeout=timeout, **how)

    def exchange(self, arrival: str, *, members: str = "a,b", timeout: float | None = None) -> list[Event]:
        """A member joins an exchange; its data comes later."""
        open_ = self.services.exchanges.open
        return self.note(
            open_(arrival, "default", "keys", members.split(","), "", 5, self.client(arrival[0]), self.now, timeout)
        )

    def give(self, arrival: str) -> list[Event]:
        """The member's data has arrived."""
        client = self.client(arrival[0])
        return self.note(self.services.exchanges.given(arrival, client, ord(arrival[0]), self.now))

    def lose(self, host: str) -> list[Event]:
        self.speaking.discard(host)
        self.answering.discard(host)
        return self.pass_time(20.5)

    def release_lock(self) -> list[Event]:
        row = self.row("locks")
        assert row is not None
        back = self.services.locks.give_back("default", "flash", row["token"], row["owner"]["name"], self.now)
        return self.note(back)

    def held_back(self, arrival: str) -> list[Event]:
        return self.note(self.services.give_back(arrival, self.client(arrival[0]), self.now))

    def reset(self) -> list[Event]:
        return self.note(self.services.reset("default", (), "c", self.now)[2])

    def silence(self, host: str, seconds: float = 4.0) -> list[Event]:
        """A host is silent for a while; it does not answer until the table lets it."""
        self.speaking.discard(host)
        self.answering.discard(host)
        return self.pass_time(seconds)


class NotHere(Exception):
    """The event cannot happen in this state, or would show nothing new."""


def when(may: Callable[[Stage], object], do: Do) -> Do:
    """An event that only some states have."""

    def attempt(stage: Stage) -> Sequence[Event]:
        if not may(stage):
            raise NotHere
        return do(stage)

    return attempt


@dataclass(frozen=True)
class Table:
    """One table.

    :ivar state: gives the name of the model's state.
    :ivar paths: each state, and the events that lead to it.
    :ivar events: the events; if an event can happen in several ways, all of them must have the same result.
    """

    state: Callable[[Stage], str]
    paths: Mapping[str, Sequence[str]]
    events: Mapping[str, Do | tuple[Do, ...]]


@dataclass(frozen=True)
class Row:
    state: str
    event: str
    after: str
    notified: str


def rows(table: Table) -> Iterator[Row]:
    """Try each event in each state."""
    for state, path in table.paths.items():
        for event in table.events:
            found = {_tried(table, state, path, do) for do in _ways(table, event)} - {None}
            assert len(found) <= 1, f"{state!r}, {event!r} has several outcomes: {found}"
            for after, notified in found:
                assert after in table.paths, (
                    f"{state!r}, {event!r} leads to {after!r}, which is not a state of the table"
                )
                if after != state or notified:
                    yield Row(state, event, after, notified)


def _ways(table: Table, event: str) -> tuple[Do, ...]:
    ways = table.events[event]
    return ways if isinstance(ways, tuple) else (ways,)


def _tried(table: Table, state: str, path: Sequence[str], do: Do) -> tuple[str, str] | None:
    """The state after an event, and who was notified of what; None if the event cannot happen."""
    stage = Stage()
    for step in path:
        _ways(table, step)[0](stage)
    assert table.state(stage) == state, f"{path} leads to {table.state(stage)!r}, not to {state!r}"
    try:
        notified = in_words(do(stage))
    except NotHere:
        return None
    return table.state(stage), notified


_WORDS: dict[type, str] = {
    Released: "released",
    Exchanged: "all data",
    Names: "answered",
    Posted: "answered",
    Messages: "answered",
}


def in_words(events: Sequence[Event]) -> str:
    """The notified clients and the outcomes, in the table's words; the part of an arrival's id after a ``~`` is not shown."""
    notified: dict[str, list[str]] = {}
    for event in events:
        if isinstance(event, Granted):
            what = _WORDS.get(type(event.value), "granted")
        elif isinstance(event, Failed):
            what = f"`{event.error.code}`"
        elif isinstance(event, Revoked):
            what = "revoked"
        else:
            continue
        who = event.arrival.partition("~")[0]
        names = notified.setdefault(what, [])
        if who not in names:
            names.append(who)
    return "; ".join(f"{', '.join(names)}: {what}" for what, names in notified.items())


def failing(do: Do, arrival: str) -> Do:
    """A request that the model refuses by an exception."""

    def attempt(stage: Stage) -> Sequence[Event]:
        try:
            return do(stage)
        except LinesyncError as error:
            return [Failed(arrival=arrival, client=stage.client("c"), error=error)]

    return attempt


# -- what several tables use -------------------------------------------------------------------------------------------

PATIENCE = 30.0  # seconds: the timeout of waits that may time out


def commit(stage: Stage) -> Sequence[Event]:
    stage.services.commit("a", stage.client("a"), stage.now)
    return []


def confirm(stage: Stage) -> Sequence[Event]:
    stage.services.confirm("a", stage.client("a"))
    return []


def waits(stage: Stage, arrival: str) -> bool:
    """The arrival is open: it waits, or it has something that it may still lose."""
    return stage.services._waits.find(arrival[0], arrival) is not None


def idle(arrival: str, do: Do) -> Do:
    """An event of a client that does not wait yet."""
    return when(lambda s: not waits(s, arrival), do)


def busy(arrival: str, do: Do) -> Do:
    """An event of a client that waits."""
    return when(lambda s: waits(s, arrival), do)


def pass_patience(stage: Stage) -> Sequence[Event]:
    return stage.pass_time(PATIENCE + 1)


def leaving(who: str, *, in_state: Any = None) -> tuple[Do, ...]:
    """The four ways in which a client leaves: it gives up, it dies, its host is lost, or its host restarts."""
    here = in_state or (lambda stage: waits(stage, who))
    ways: tuple[Do, ...] = (
        lambda s: s.give_back(who, who),
        lambda s: s.end(who),
        lambda s: s.stop(who),
        lambda s: s.restart(who),
    )
    return tuple(when(here, way) for way in ways)
