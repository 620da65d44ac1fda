"""Tables of states for events, messages, and the life of a host."""

from __future__ import annotations

from collections.abc import Sequence

from linesync.model.decisions import Event
from tests.docs.sync.states import (
    PATIENCE,
    Do,
    Stage,
    Table,
    busy,
    failing,
    idle,
    leaving,
    pass_patience,
    waits,
    when,
)

__all__ = ["EVENT", "GATHER", "HOST", "TOPIC"]

# -- events and messages ----------------------------------------------------------------------------------------------


def _event(stage: Stage) -> str:
    row = stage.row("events")
    if row is None:
        return "not set"
    waiting = ", ".join(f"{one['name']} waits" for one in row["waiting"])
    return "set" if row["set"] else f"not set, {waiting}"


def _change(stage: Stage, *, clear: bool = False) -> Sequence[Event]:
    change = stage.services.events.clear if clear else stage.services.events.set
    return stage.note(change(f"c~{_event(stage)}", "default", ("up",), stage.client("c"), stage.now))


def _await(stage: Stage, timeout: float) -> Sequence[Event]:
    arrival = "a" if timeout else "a~poll"
    return stage.note(
        stage.services.events.wait(arrival, "default", ("up",), False, stage.client("a"), stage.now, timeout)
    )


EVENT = Table(
    _event,
    {"not set": (), "not set, a waits": ("a waits for it",), "set": ("c sets it",)},
    {
        "c sets it": _change,
        "c clears it": lambda s: _change(s, clear=True),
        "a waits for it": idle("a", lambda s: _await(s, PATIENCE)),
        "a polls": idle("a", lambda s: _await(s, 0.0)),
        "a's timeout passes": busy("a", pass_patience),
        "a gives up, or its client or host is gone": leaving("a"),
        "the name is reset": lambda s: s.reset(),
    },
)


def _topic(stage: Stage) -> str:
    row = stage.row("topics")
    if row is None:
        return "no message"
    waiting = ", ".join(f"{one['name']} waits" for one in row["waiting"])
    there = f"{row['messages']} from b" if row["messages"] else "no message"
    return f"{there}, {waiting}" if waiting else there


def _send(stage: Stage) -> Sequence[Event]:
    client = stage.client("b")
    return stage.note(
        stage.services.mailbox.send(f"b~{_topic(stage)}", "default", "ready", ("x=1",), "b", client, stage.now)
    )


def _receive(number: int) -> Do:
    def receive(stage: Stage) -> Sequence[Event]:
        client = stage.client("a")
        return stage.note(
            stage.services.mailbox.receive("a", "default", "ready", number, 9, False, "a", client, stage.now, PATIENCE)
        )

    return idle("a", receive)


TOPIC = Table(
    _topic,
    {
        "no message": (),
        "no message, a waits": ("a waits for message 1",),
        "1 from b": ("b sends",),
        "1 from b, a waits": ("b sends", "a waits for message 2"),
        "2 from b": ("b sends", "b sends"),
    },
    {
        "b sends": when(lambda s: "2" not in _topic(s), _send),
        "a waits for message 1": when(lambda s: "2" not in _topic(s), _receive(1)),
        "a waits for message 2": when(lambda s: "no" not in _topic(s), _receive(2)),
        "a's timeout passes": busy("a", pass_patience),
        "a gives up, or its client or host is gone": leaving("a"),
        "the name is reset": lambda s: s.reset(),
    },
)


def _gather_state(stage: Stage) -> str:
    row = stage.row("topics")
    senders = row["senders"] if row is not None else []
    parts = ["b and c have sent" if len(senders) > 1 else "b has sent" if senders else "no host has sent"]
    return ", ".join([*parts, *(f"{one['name']} waits" for one in (row["waiting"] if row is not None else ()))])


def _of(sender: str) -> Do:
    def send(stage: Stage) -> Sequence[Event]:
        client = stage.client(sender)
        return stage.note(stage.services.mailbox.send(sender, "default", "ready", (), sender, client, stage.now))

    return when(lambda s: sender not in (s.row("topics") or {"senders": ()})["senders"], send)


def _gather(stage: Stage) -> Sequence[Event]:
    client = stage.client("a")
    return stage.note(stage.services.mailbox.receive_all("a", "default", "ready", "a", "", client, stage.now, PATIENCE))


GATHER = Table(
    _gather_state,
    {
        "no host has sent": (),
        "no host has sent, a waits": ("a gathers",),
        "b has sent": ("b sends",),
        "b has sent, a waits": ("b sends", "a gathers"),
        "b and c have sent": ("b sends", "c sends"),
    },
    {
        "b sends": _of("b"),
        "c sends": when(lambda s: _gather_state(s).startswith("b"), _of("c")),
        "a gathers": idle("a", _gather),
        "b is lost": busy("a", lambda s: s.stop("b")),
        "c is lost": busy("a", lambda s: s.stop("c")),
        "a's timeout passes": busy("a", pass_patience),
    },
)

# -- hosts ------------------------------------------------------------------------------------------------------------


def _host(stage: Stage) -> str:
    host = next((host for host in stage.services.hosts(stage.now) if host.name == "n"), None)
    return "unknown" if host is None else host.state if host.cause is None else f"lost ({host.cause})"


def _wait_of(stage: Stage) -> Sequence[Event]:
    """A script on the host waits for something."""
    alive = _host(stage) in ("up", "quiet")
    return stage.sem("n", "n", -1, timeout=1000.0) if alive and not waits(stage, "n") else []


def _register(stage: Stage, life: int, line: str = "its line") -> Sequence[Event]:
    session = f"n{life}"
    events = stage.note(stage.services.register("n", session, session, line, stage.now))
    stage.lives["n"] = life
    return events


def _line_lost(stage: Stage) -> Sequence[Event]:
    stage.services.line_lost("n", stage.session("n"), "unplugged")
    return []


def _known(do: Do) -> Do:
    return when(lambda s: _host(s) != "unknown", lambda s: [*_wait_of(s), *do(s)])


HOST = Table(
    _host,
    {
        "unknown": (),
        "up": ("its agent registers",),
        "quiet": ("its agent registers", "nothing is heard for 8 s"),
        "lost (line lost)": ("its agent registers", "nothing is heard for 20 s"),
        "lost (stopped)": ("its agent registers", "its agent says goodbye"),
    },
    {
        "its agent registers": when(lambda s: _host(s) == "unknown", lambda s: _register(s, 1)),
        "a valid frame comes": _known(lambda s: s.hear("n")),
        "its line drops": when(lambda s: _host(s) == "up", _known(_line_lost)),
        "nothing is heard for 8 s": when(lambda s: _host(s) == "up", _known(lambda s: s.pass_time(8.5))),
        "nothing is heard for 20 s": when(lambda s: _host(s) in ("up", "quiet"), _known(lambda s: s.pass_time(20.5))),
        "its agent says goodbye": when(lambda s: _host(s) in ("up", "quiet"), _known(lambda s: s.stop("n"))),
        "its restarted agent registers": _known(lambda s: _register(s, 2)),
        "an agent on another line registers": when(
            lambda s: _host(s) in ("up", "quiet"),
            _known(failing(lambda s: _register(s, 3, "another line"), "the second agent")),
        ),
    },
)
