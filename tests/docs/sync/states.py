"""Generates the tables of states in docs/sync.md. Each row of a table is the result of one run of the model.

A table defines its states and its events. For each state, it has the events that lead from the start to this state.
:func:`rows` tries each event in each state, on a new model. An event that changes nothing and notifies no client has no row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from linesync.errors import LinesyncError
from linesync.model.decisions import Event, Exchanged, Failed, Granted, Messages, Names, Posted, Released, Revoked
from tests.model.simulated_hub import SimulatedHub

__all__ = [
    "TEN_MINUTES",
    "WAIT_TIMEOUT",
    "Action",
    "ModelSetup",
    "Row",
    "Table",
    "commit",
    "confirm",
    "failing",
    "if_not_open",
    "if_open",
    "leaving",
    "pass_wait_timeout",
    "rows",
    "waits",
    "when",
]

Action = Callable[["ModelSetup"], Sequence[Event]]
TEN_MINUTES = 600.0


class ModelSetup(SimulatedHub):
    """The model of a hub with the hosts a, b and c, which are all up, and the actions that the tables need."""

    def __init__(self) -> None:
        super().__init__("a", "b", "c")

    def row(self, kind: str) -> Mapping[str, Any] | None:
        """The row of ``status`` for the only object of this kind, as JSON."""
        found: Any = self.services.status(self.now).as_json()[kind]
        return found[0] if found else None

    # -- events that several tables use --------------------------------------------------------------------------------

    def member(self, arrival: str, *, who: str = "", timeout: float | None = None, **terms: Any) -> list[Event]:
        """Let a member of the barrier arrive. The first letter of the arrival is its host."""
        return self.barrier(arrival, who or arrival[0], terms.pop("party", "a,b"), timeout=timeout, **terms)

    def exchange(self, arrival: str, *, members: str = "a,b", timeout: float | None = None) -> list[Event]:
        """Let a member join an exchange. Its data arrives later."""
        open_ = self.services.exchanges.open
        return self.follow_up(
            open_(arrival, "default", "keys", members.split(","), "", 5, self.client(arrival[0]), self.now, timeout)
        )

    def give(self, arrival: str) -> list[Event]:
        """Let the data of a member arrive."""
        client = self.client(arrival[0])
        return self.follow_up(self.services.exchanges.given(arrival, client, ord(arrival[0]), self.now))

    def lose(self, host: str) -> list[Event]:
        self.speaking.discard(host)
        self.answering.discard(host)
        return self.pass_time(20.5)

    def release_lock(self) -> list[Event]:
        row = self.row("locks")
        assert row is not None
        outcomes = self.services.locks.give_back("default", "flash", row["token"], row["owner"]["name"], self.now)
        return self.follow_up(outcomes)

    def give_back_held(self, arrival: str) -> list[Event]:
        return self.follow_up(self.services.give_back(arrival, self.client(arrival[0]), self.now))

    def reset(self) -> list[Event]:
        return self.follow_up(self.services.reset("default", (), "c", self.now)[2])

    def silence(self, host: str, seconds: float = 4.0) -> list[Event]:
        """Let a host be silent for some time. It does not answer the hub either."""
        self.speaking.discard(host)
        self.answering.discard(host)
        return self.pass_time(seconds)


class NotInThisState(Exception):
    """The event cannot happen in this state, or the table does not show it."""


def when(condition: Callable[[ModelSetup], object], action: Action) -> Action:
    """An event that is tried only in the states that meet a condition."""

    def attempt(model: ModelSetup) -> Sequence[Event]:
        if not condition(model):
            raise NotInThisState
        return action(model)

    return attempt


@dataclass(frozen=True)
class Table:
    """One table.

    :ivar state: returns the name of the state of the model.
    :ivar paths: the states, each with the events that lead to it.
    :ivar events: the events, each with the action that causes it. If several actions cause it, they must all have the same
        result.
    """

    state: Callable[[ModelSetup], str]
    paths: Mapping[str, Sequence[str]]
    events: Mapping[str, Action | tuple[Action, ...]]


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
            found = {_try_event(table, state, path, action) for action in _actions(table, event)} - {None}
            assert len(found) <= 1, f"{state!r}, {event!r} has several outcomes: {found}"
            for after, notified in found:
                assert after in table.paths, (
                    f"{state!r}, {event!r} leads to {after!r}, which is not a state of the table"
                )
                if after != state or notified:
                    yield Row(state, event, after, notified)


def _actions(table: Table, event: str) -> tuple[Action, ...]:
    actions = table.events[event]
    return actions if isinstance(actions, tuple) else (actions,)


def _try_event(table: Table, state: str, path: Sequence[str], action: Action) -> tuple[str, str] | None:
    """The state after an event, and the notifications of the clients; None if the event cannot happen."""
    model = ModelSetup()
    for step in path:
        _actions(table, step)[0](model)
    assert table.state(model) == state, f"{path} leads to {table.state(model)!r}, not to {state!r}"
    try:
        notified = notifications(action(model))
    except NotInThisState:
        return None
    return table.state(model), notified


_OUTCOMES: dict[type, str] = {
    Released: "released",
    Exchanged: "all data",
    Names: "answered",
    Posted: "answered",
    Messages: "answered",
}


def notifications(events: Sequence[Event]) -> str:
    """The notifications in the form of the table: clients and outcome. The part of an arrival's id after a ``~`` is omitted."""
    notified: dict[str, list[str]] = {}
    for event in events:
        if isinstance(event, Granted):
            outcome = _OUTCOMES.get(type(event.value), "granted")
        elif isinstance(event, Failed):
            outcome = f"`{event.error.code}`"
        elif isinstance(event, Revoked):
            outcome = "revoked"
        else:
            continue
        script = event.arrival.partition("~")[0]
        names = notified.setdefault(outcome, [])
        if script not in names:
            names.append(script)
    return "; ".join(f"{', '.join(names)}: {outcome}" for outcome, names in notified.items())


def failing(action: Action, arrival: str) -> Action:
    """An event whose request the model refuses with an exception."""

    def attempt(model: ModelSetup) -> Sequence[Event]:
        try:
            return action(model)
        except LinesyncError as error:
            return [Failed(arrival=arrival, client=model.client("c"), error=error)]

    return attempt


# -- shared by several tables ------------------------------------------------------------------------------------------

WAIT_TIMEOUT = 30.0  # seconds


def commit(model: ModelSetup) -> Sequence[Event]:
    model.services.commit("a", model.client("a"), model.now)
    return []


def confirm(model: ModelSetup) -> Sequence[Event]:
    model.services.confirm("a", model.client("a"))
    return []


def waits(model: ModelSetup, arrival: str) -> bool:
    """Whether an arrival is open: it waits, or it has a grant that it can still lose."""
    return model.services._waits.find(arrival[0], arrival) is not None


def if_not_open(arrival: str, action: Action) -> Action:
    """An event that is tried only while the arrival is not open."""
    return when(lambda s: not waits(s, arrival), action)


def if_open(arrival: str, action: Action) -> Action:
    """An event that is tried only while the arrival is open."""
    return when(lambda s: waits(s, arrival), action)


def pass_wait_timeout(model: ModelSetup) -> Sequence[Event]:
    return model.pass_time(WAIT_TIMEOUT + 1)


def leaving(who: str, *, in_state: Any = None) -> tuple[Action, ...]:
    """The four ways in which a client leaves: it gives up, it dies, its host is lost, or its host restarts."""
    condition = in_state or (lambda model: waits(model, who))
    actions: tuple[Action, ...] = (
        lambda s: s.give_back(who, who),
        lambda s: s.end(who),
        lambda s: s.stop(who),
        lambda s: s.restart(who),
    )
    return tuple(when(condition, action) for action in actions)
