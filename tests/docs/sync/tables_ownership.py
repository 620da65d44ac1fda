"""Tables of states for grants, units of a semaphore and locks, which a client can own; and for deadlocks."""

from __future__ import annotations

from collections.abc import Sequence

from linesync.model.decisions import Event
from linesync.model.hosts.membership import LEASE
from linesync.model.sync.deadlock import Activity
from tests.docs.sync.states import (
    TEN_MINUTES,
    WAIT_TIMEOUT,
    Action,
    ModelSetup,
    Table,
    commit,
    confirm,
    failing,
    if_not_open,
    if_open,
    leaving,
    pass_wait_timeout,
    when,
)

__all__ = ["ARRIVAL", "CYCLE", "LOCK", "SEMAPHORE"]

# -- an arrival --------------------------------------------------------------------------------------------------------


def _arrival(model: ModelSetup) -> str:
    wait = model.services._waits.find("a", "a")
    if wait is not None:
        return "held" if wait.held is not None else "granted" if wait.granted is not None else "waiting"
    return "over" if model.services._waits._results.get("a", "a") is not None else "unknown"


ARRIVAL = Table(
    _arrival,
    {
        "unknown": (),
        "waiting": ("it arrives, and another client has what it wants",),
        "granted": ("it arrives",),
        "held": ("it arrives", "its client commits"),
        "over": ("it arrives, and another client has what it wants", "its client gives up"),
    },
    {
        "it arrives": lambda s: s.lock("a", "a", timeout=5.0, confirm=False),
        "it arrives, and another client has what it wants": when(
            lambda s: _arrival(s) == "unknown",
            lambda s: s.lock("b", "b") and s.lock("a", "a", timeout=5.0, confirm=False),
        ),
        "what it waits for is available": when(
            lambda s: _arrival(s) == "waiting",
            lambda s: s.follow_up(s.services.give_back("b", s.client("b"), s.now), confirm=False),
        ),
        "its client commits": when(lambda s: _arrival(s) in ("granted", "held"), commit),
        "its client confirms": when(lambda s: _arrival(s) == "over", confirm),
        "its client gives up": lambda s: s.give_back("a", "a"),
        "its client gives back": when(
            lambda s: _arrival(s) in ("granted", "held"), failing(lambda s: s.give_back_held("a"), "a")
        ),
        "its client is gone": lambda s: s.end("a"),
        "its host is lost, or has a new session": (lambda s: s.stop("a"), lambda s: s.restart("a")),
        "its timeout passes": when(lambda s: _arrival(s) != "over", lambda s: s.pass_time(6.0)),
        "ten minutes pass": when(lambda s: _arrival(s) == "over", lambda s: s.pass_time(TEN_MINUTES)),
        "the name is reset": lambda s: [e for e in s.reset() if getattr(e, "arrival", "") == "a"],
    },
)

# -- semaphores and locks ----------------------------------------------------------------------------------------------


def _semaphore(model: ModelSetup) -> str:
    row = model.row("semaphores")
    if row is None:
        return "empty"
    parts = [f"{client['name']} holds 1" for client in row["holders"]]
    parts += [f"{client['name']} has 1, not committed" for client in row["unconfirmed"]]
    parts += [f"{client['name']} waits" for client in row["queue"]]
    return ", ".join([*(["1 unit"] if row["value"] else []), *parts])


def _with_unit(action: Action) -> Action:
    return when(lambda s: _semaphore(s) == "1 unit", action)


SEMAPHORE = Table(
    _semaphore,
    {
        "empty": (),
        "1 unit": ("c gives 1",),
        "b waits": ("b takes 1",),
        "a has 1, not committed": ("c gives 1", "a takes 1"),
        "a has 1, not committed, b waits": ("c gives 1", "a takes 1", "b takes 1"),
        "a holds 1": ("c gives 1", "a takes 1 to hold, and commits"),
        "a holds 1, b waits": ("c gives 1", "a takes 1 to hold, and commits", "b takes 1"),
    },
    {
        "c gives 1": when(lambda s: _semaphore(s) in ("empty", "b waits"), lambda s: s.sem("c~give", "c", 1)),
        "a takes 1": _with_unit(lambda s: s.sem("a", "a", -1, confirm=False)),
        "a commits": when(lambda s: "not committed" in _semaphore(s), commit),
        "a takes 1 to hold, and commits": _with_unit(lambda s: s.sem("a", "a", -1, hold=True)),
        "a gives back": when(lambda s: "a holds" in _semaphore(s), lambda s: s.give_back_held("a")),
        "a's client is gone": if_open("a", lambda s: s.end("a")),
        "a's host is lost, or has a new session, and its lease ends": (
            if_open("a", lambda s: [*s.stop("a"), *s.pass_time(LEASE + 0.5)]),
            if_open("a", lambda s: [*s.restart("a"), *s.pass_time(LEASE + 0.5)]),
        ),
        "b takes 1": when(
            lambda s: _semaphore(s) != "1 unit", if_not_open("b", lambda s: s.sem("b", "b", -1, timeout=WAIT_TIMEOUT))
        ),
        "b's timeout passes": if_open("b", pass_wait_timeout),
        "b gives up, or its client or host is gone": leaving("b"),
        "c polls for 1": when(lambda s: _semaphore(s) != "1 unit", lambda s: s.sem("c~poll", "c", -1, timeout=0.0)),
        "c gives 2, with a bound of 1": when(
            lambda s: _semaphore(s) == "empty", lambda s: s.sem("c~more", "c", 2, bound=1)
        ),
        "the name is reset": lambda s: s.reset(),
    },
)


def _lock(model: ModelSetup) -> str:
    row = model.row("locks")
    if row is None:
        return "free"
    owner = row["owner"]
    ownership = "not committed" if not owner["confirmed"] else "kept" if owner["client"] is None else ""
    parts = [f"{owner['name']} has it" + (f", {ownership}" if ownership else "")]
    return ", ".join([*parts, *(f"{wait['name']} waits" for wait in row["queue"])])


def _owned(action: Action) -> Action:
    return when(lambda s: _lock(s) in ("a has it", "a has it, kept", "a has it, b waits"), action)


LOCK = Table(
    _lock,
    {
        "free": (),
        "a has it, not committed": ("a takes it",),
        "a has it": ("a takes it", "a commits"),
        "a has it, kept": ("a takes it to keep, and commits",),
        "a has it, b waits": ("a takes it", "a commits", "b takes it"),
        "b has it": ("a takes it", "a commits", "b takes it", "a's client is gone"),
    },
    {
        "a takes it": when(lambda s: _lock(s) == "free", lambda s: s.lock("a", "a", confirm=False)),
        "a takes it to keep, and commits": when(lambda s: _lock(s) == "free", lambda s: s.lock("a", "a", keep=True)),
        "a commits": when(lambda s: "not committed" in _lock(s), commit),
        "b takes it": when(lambda s: _lock(s) == "a has it", lambda s: s.lock("b", "b")),
        "c polls": when(lambda s: _lock(s) == "a has it", lambda s: s.lock("c", "c", timeout=0.0)),
        "a gives it back": _owned(lambda s: s.release_lock()),
        "c's host gives it back": _owned(
            failing(lambda s: s.follow_up(s.services.locks.give_back("default", "flash", 1, "c", s.now)), "c")
        ),
        "a's client is gone": when(lambda s: _lock(s).startswith("a "), lambda s: s.end("a")),
        "a's host is lost, or has a new session, and its lease ends": (
            when(lambda s: _lock(s).startswith("a "), lambda s: [*s.stop("a"), *s.pass_time(LEASE + 0.5)]),
            when(lambda s: _lock(s).startswith("a "), lambda s: [*s.restart("a"), *s.pass_time(LEASE + 0.5)]),
        ),
        "the name is reset": when(lambda s: _lock(s) != "b has it", lambda s: s.reset()),
    },
)

# -- deadlocks ---------------------------------------------------------------------------------------------------------


def _cycle(model: ModelSetup) -> str:
    cycles = list(model.services._deadlocks._cycles.values())
    if not cycles:
        return "dismissed for a time" if model.services._deadlocks._beliefs else "no cycle"
    return "asked" if cycles[0].asked is not None else "seen"


def _close_cycle(model: ModelSetup) -> Sequence[Event]:
    """Let a and b each take a lock, and wait for the lock of the other host."""
    model.answering.clear()
    model.lock("a1", "a", "x")
    model.lock("b1", "b", "y")
    model.lock("a", "a", "y", within="a1")
    events = model.lock("b", "b", "x", within="b1")
    return [*events, *model.pass_time(0.6)]


def _answer(a: Activity) -> Action:
    def answer(model: ModelSetup) -> Sequence[Event]:
        parts = [*model.services.answered("a", a, model.now)]
        return model.follow_up([*parts, *model.services.answered("b", Activity(clients=frozenset("1")), model.now)])

    return when(lambda s: _cycle(s) == "asked", answer)


CYCLE = Table(
    _cycle,
    {
        "no cycle": (),
        "seen": ("the last wait of a cycle begins",),
        "asked": ("the last wait of a cycle begins", "the cycle has existed for 2 s"),
        "dismissed for a time": (
            "the last wait of a cycle begins",
            "the cycle has existed for 2 s",
            "a's host answers: that client can act",
        ),
    },
    {
        "the last wait of a cycle begins": when(lambda s: _cycle(s) == "no cycle", _close_cycle),
        "a gives up, or gives back": when(
            lambda s: _cycle(s) in ("seen", "asked"), lambda s: [*s.give_back("a", "a"), *s.pass_time(0.6)]
        ),
        "the cycle has existed for 2 s": when(lambda s: _cycle(s) == "seen", lambda s: s.pass_time(2.0)),
        "all hosts answer: no other client can act": _answer(Activity(clients=frozenset("1"))),
        "a's host answers: that client can act": _answer(Activity(clients=frozenset("1"), concurrent=frozenset("1"))),
        "no answer for 4 s": when(lambda s: _cycle(s) == "asked", lambda s: s.pass_time(4.0)),
        "that answer expires (after 4 s, 8 s ... 60 s)": when(
            lambda s: _cycle(s) == "dismissed for a time", lambda s: s.pass_time(5.0)
        ),
    },
)
