"""Tables of states for barriers and exchanges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from linesync.model.decisions import Event
from tests.docs.sync.states import (
    TEN_MINUTES,
    WAIT_TIMEOUT,
    Action,
    ModelSetup,
    Table,
    if_not_open,
    if_open,
    leaving,
    pass_wait_timeout,
    when,
)

__all__ = ["COUNT", "EXCHANGE", "LINGER", "MEMBERS", "ONCE"]

# -- barriers ----------------------------------------------------------------------------------------------------------


def _barrier(model: ModelSetup) -> str:
    row = model.row("barriers")
    if row is not None:
        arrived = " and ".join(wait["name"] for wait in row["arrived"])
        return f"complete, {' and '.join(row['unheard'])} is asked" if row["unheard"] else f"{arrived} waits"
    last = model.services.barriers.past._last.get(("default", "boot"))
    if last is None:
        return "empty"
    if last.failure is not None and model.now < last.failure.since + TEN_MINUTES:
        return f"failed, {', '.join(last.failure.absent) or 'one'} not notified"
    if last.once:
        return "used up"
    if last.lingers is not None and model.now < last.since + last.lingers.reuse.linger:
        return "lingering"
    return "empty"


def _restart_with_rejoin(model: ModelSetup) -> Sequence[Event]:
    """a waits again, now with ``--rejoin``; then its host restarts."""
    model.give_back("a", "a")
    model.member("a~rejoin", rejoin=True)
    return model.restart("a")


MEMBERS = Table(
    _barrier,
    {
        "empty": (),
        "a waits": ("a arrives",),
        "complete, a is asked": ("a arrives", "b arrives, a was silent"),
        "failed, b not notified": ("a arrives", "a aborts"),
    },
    {
        "a arrives": when(lambda s: _barrier(s) == "empty", lambda s: s.member("a", timeout=WAIT_TIMEOUT)),
        "b arrives": when(lambda s: _barrier(s) in ("a waits", "failed, b not notified"), lambda s: s.member("b")),
        "b arrives, a was silent": when(
            lambda s: _barrier(s) == "a waits", lambda s: [*s.silence("a"), *s.member("b")]
        ),
        "a answers": when(lambda s: "asked" in _barrier(s), lambda s: s.answer("a")),
        "a's lease runs out": when(lambda s: "asked" in _barrier(s), lambda s: s.lose("a")),
        "another client arrives as a": if_open("a", lambda s: s.member("the other", who="a/2", as_member="a")),
        "c arrives, which is not a member": when(lambda s: _barrier(s) == "a waits", lambda s: s.member("c")),
        "c arrives with other members": when(
            lambda s: _barrier(s) == "a waits", lambda s: s.member("c", party="a,b,c")
        ),
        "b polls": when(lambda s: _barrier(s) == "empty", lambda s: s.member("b~poll", timeout=0.0)),
        "a's timeout passes": when(lambda s: _barrier(s) == "a waits", pass_wait_timeout),
        "a gives up, its client is gone, or its host restarts with `--rejoin`": (
            when(lambda s: _barrier(s) == "a waits", lambda s: s.give_back("a", "a")),
            when(lambda s: _barrier(s) == "a waits", lambda s: s.end("a")),
            when(lambda s: _barrier(s) == "a waits", _restart_with_rejoin),
        ),
        "a's host is lost or restarts": (
            when(lambda s: _barrier(s) in ("a waits", "complete, a is asked"), lambda s: s.stop("a")),
            when(lambda s: _barrier(s) in ("a waits", "complete, a is asked"), lambda s: s.restart("a")),
        ),
        "b's host restarts, and b arrives": when(
            lambda s: _barrier(s) == "a waits", lambda s: [*s.restart("b"), *s.member("b")]
        ),
        "b's host is lost": when(lambda s: "waits" in _barrier(s) or "asked" in _barrier(s), lambda s: s.stop("b")),
        "a aborts": lambda s: s.member("a~abort", abort="no power"),
        "b aborts": when(
            lambda s: "waits" in _barrier(s) or "b not" in _barrier(s), lambda s: s.member("b~abort", abort="no power")
        ),
        "the name is reset": lambda s: s.reset(),
        "ten minutes pass": when(lambda s: "failed" in _barrier(s), lambda s: s.pass_time(TEN_MINUTES)),
    },
)


def _count(arrival: str, party: int = 2, **terms: Any) -> Action:
    return if_not_open(arrival, lambda s: s.barrier(arrival, arrival[0], party, **terms))


COUNT = Table(
    _barrier,
    {
        "empty": (),
        "a waits": ("a arrives",),
        "failed, one not notified": ("a aborts",),
    },
    {
        "a arrives": when(lambda s: _barrier(s) == "empty", _count("a", timeout=WAIT_TIMEOUT)),
        "b arrives": when(lambda s: _barrier(s) != "empty", _count("b")),
        "another client of a's host arrives": if_open("a", lambda s: s.barrier("the other", "a/2", 2)),
        "c arrives, for 3": if_open("a", _count("c", 3)),
        "a's timeout passes": if_open("a", pass_wait_timeout),
        "a gives up, or its client or host is gone": leaving("a"),
        "b's host is lost": lambda s: s.stop("b"),
        "a aborts": when(lambda s: _barrier(s) == "empty", lambda s: s.barrier("a~abort", "a", 2, abort="no power")),
        "c aborts": if_open("a", lambda s: s.barrier("c~abort", "c", 2, abort="no power")),
        "the name is reset": lambda s: s.reset(),
    },
)


def _reuse(reuse: str) -> Table:
    after = "lingering" if reuse.startswith("linger") else "used up"

    def is_over(model: ModelSetup) -> bool:
        return _barrier(model) == after

    events: dict[str, Action] = {
        "a arrives": when(lambda s: _barrier(s) == "empty", _count("a", reuse=reuse)),
        "b arrives": if_open("a", _count("b", reuse=reuse)),
        "c arrives": when(is_over, _count("c", reuse=reuse)),
        "the name is reset": lambda s: s.reset(),
    }
    if after == "lingering":
        events["its seconds pass"] = when(is_over, lambda s: s.pass_time(6.0))
    else:
        events["c aborts"] = when(is_over, lambda s: s.barrier("c~abort", "c", 2, reuse=reuse, abort="no power"))
    return Table(_barrier, {"empty": (), "a waits": ("a arrives",), after: ("a arrives", "b arrives")}, events)


ONCE, LINGER = _reuse("once"), _reuse("linger=5")


# -- exchanges ---------------------------------------------------------------------------------------------------------


def _exchange(model: ModelSetup) -> str:
    row = model.row("exchanges")
    if row is None:
        last = model.services.exchanges.past._last.get(("default", "keys"))
        failed = last is not None and last.failure is not None and model.now < last.failure.since + TEN_MINUTES
        return "failed, b not notified" if failed else "empty"
    arrived = {wait["name"] for wait in row["arrived"]}
    parts = []
    for member in ("a", "b"):
        if member in row["given"]:
            parts.append(f"{member} gave" + ("" if member in arrived else " and is gone"))
        elif member in arrived:
            parts.append(f"{member} gives")
    return ", ".join(parts)


def _in_states(*states: str) -> Any:
    return lambda model: _exchange(model) in states


EXCHANGE = Table(
    _exchange,
    {
        "empty": (),
        "a gives": ("a arrives",),
        "a gave": ("a arrives", "a's data is complete"),
        "a gave, b gives": ("a arrives", "a's data is complete", "b arrives"),
        "a gave and is gone": ("a arrives", "a's data is complete", "a's client is gone"),
        "a gave and is gone, b gives": (
            "a arrives",
            "a's data is complete",
            "a's client is gone",
            "b arrives",
        ),
        "failed, b not notified": ("a arrives", "a's client is gone"),
    },
    {
        "a arrives": when(_in_states("empty"), lambda s: s.exchange("a", timeout=WAIT_TIMEOUT)),
        "a arrives again": when(_in_states("a gave and is gone"), lambda s: s.exchange("a~again")),
        "a's data is complete": when(_in_states("a gives"), lambda s: s.give("a")),
        "b arrives": when(
            _in_states("a gave", "a gave and is gone", "failed, b not notified"), lambda s: s.exchange("b")
        ),
        "b's data is complete": when(
            _in_states("a gave, b gives", "a gave and is gone, b gives"), lambda s: s.give("b")
        ),
        "a's client is gone": when(_in_states("a gives", "a gave", "a gave, b gives"), lambda s: s.end("a")),
        "a's host is lost, or has a new session": (
            when(_in_states("a gives", "a gave", "a gave, b gives"), lambda s: s.stop("a")),
            when(_in_states("a gives", "a gave", "a gave, b gives"), lambda s: s.restart("a")),
        ),
        "b's client is gone": when(_in_states("a gave, b gives"), lambda s: s.end("b")),
        "b's host is lost": when(_in_states("a gave", "a gave, b gives"), lambda s: s.stop("b")),
        "b's host has a new session": when(_in_states("a gave", "a gave, b gives"), lambda s: s.restart("b")),
        "a's timeout passes": when(_in_states("a gives", "a gave"), pass_wait_timeout),
        "a gives up": when(_in_states("a gives", "a gave"), lambda s: s.give_back("a", "a")),
        "c arrives with other members": when(_in_states("a gives"), lambda s: s.exchange("c", members="a,b,c")),
        "b polls": when(_in_states("a gives"), lambda s: s.exchange("b~poll", timeout=0.0)),
        "the name is reset": when(lambda s: "b gives" not in _exchange(s), lambda s: s.reset()),
        "ten minutes pass": when(
            _in_states("a gave and is gone", "failed, b not notified"), lambda s: s.pass_time(TEN_MINUTES)
        ),
    },
)
