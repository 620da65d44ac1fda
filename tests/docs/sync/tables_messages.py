"""Tables of states for events, messages and hosts."""

from __future__ import annotations

from collections.abc import Sequence

from linesync.model.decisions import Event
from tests.docs.sync.states import (
    TEN_MINUTES,
    WAIT_TIMEOUT,
    Action,
    ModelSetup,
    Table,
    failing,
    if_not_open,
    if_open,
    leaving,
    pass_wait_timeout,
    waits,
    when,
)

__all__ = ["EVENT", "GATHER", "HOST", "TOPIC"]

# -- events and messages -----------------------------------------------------------------------------------------------


def _event(model: ModelSetup) -> str:
    row = model.row("events")
    if row is None:
        return "not set"
    waiting = ", ".join(f"{wait['name']} waits" for wait in row["waiting"])
    return "set" if row["set"] else f"not set, {waiting}"


def _change(model: ModelSetup, *, clear: bool = False) -> Sequence[Event]:
    change = model.services.events.clear if clear else model.services.events.set
    return model.follow_up(change(f"c~{_event(model)}", "default", ("up",), model.client("c"), model.now))


def _await(model: ModelSetup, timeout: float) -> Sequence[Event]:
    arrival = "a" if timeout else "a~poll"
    return model.follow_up(
        model.services.events.wait(arrival, "default", ("up",), False, model.client("a"), model.now, timeout)
    )


EVENT = Table(
    _event,
    {"not set": (), "not set, a waits": ("a waits for it",), "set": ("c sets it",)},
    {
        "c sets it": _change,
        "c clears it": lambda s: _change(s, clear=True),
        "a waits for it": if_not_open("a", lambda s: _await(s, WAIT_TIMEOUT)),
        "a polls": if_not_open("a", lambda s: _await(s, 0.0)),
        "a's timeout passes": if_open("a", pass_wait_timeout),
        "a gives up, or its client or host is gone": leaving("a"),
        "the name is reset": lambda s: s.reset(),
    },
)


def _topic(model: ModelSetup) -> str:
    row = model.row("topics")
    if row is None:
        return "no message"
    waiting = ", ".join(f"{wait['name']} waits" for wait in row["waiting"])
    messages = f"{row['messages']} from b" if row["messages"] else "no message"
    return f"{messages}, {waiting}" if waiting else messages


def _send(model: ModelSetup) -> Sequence[Event]:
    client = model.client("b")
    return model.follow_up(
        model.services.mailbox.send(f"b~{_topic(model)}", "default", "ready", ("x=1",), "b", client, model.now)
    )


def _receive(number: int) -> Action:
    def receive(model: ModelSetup) -> Sequence[Event]:
        client = model.client("a")
        return model.follow_up(
            model.services.mailbox.receive(
                "a", "default", "ready", number, 9, False, "a", client, model.now, WAIT_TIMEOUT
            )
        )

    return if_not_open("a", receive)


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
        "a's timeout passes": if_open("a", pass_wait_timeout),
        "a gives up, or its client or host is gone": leaving("a"),
        "the name is reset": lambda s: s.reset(),
    },
)


def _gather_state(model: ModelSetup) -> str:
    row = model.row("topics")
    senders = row["senders"] if row is not None else []
    parts = ["b and c have sent" if len(senders) > 1 else "b has sent" if senders else "no host has sent"]
    return ", ".join([*parts, *(f"{wait['name']} waits" for wait in (row["waiting"] if row is not None else ()))])


def _send_from(sender: str) -> Action:
    def send(model: ModelSetup) -> Sequence[Event]:
        client = model.client(sender)
        return model.follow_up(model.services.mailbox.send(sender, "default", "ready", (), sender, client, model.now))

    return when(lambda s: sender not in (s.row("topics") or {"senders": ()})["senders"], send)


def _gather(model: ModelSetup) -> Sequence[Event]:
    client = model.client("a")
    return model.follow_up(
        model.services.mailbox.receive_all("a", "default", "ready", "a", "", client, model.now, WAIT_TIMEOUT)
    )


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
        "b sends": _send_from("b"),
        "c sends": when(lambda s: _gather_state(s).startswith("b"), _send_from("c")),
        "a gathers": if_not_open("a", _gather),
        "b is lost": if_open("a", lambda s: s.stop("b")),
        "c is lost": if_open("a", lambda s: s.stop("c")),
        "a's timeout passes": if_open("a", pass_wait_timeout),
    },
)

# -- hosts -------------------------------------------------------------------------------------------------------------


def _host(model: ModelSetup) -> str:
    host = next((host for host in model.services.hosts(model.now) if host.name == "n"), None)
    return "unknown" if host is None else host.state if host.cause is None else f"lost ({host.cause})"


def _start_wait(model: ModelSetup) -> Sequence[Event]:
    """A script on the host waits for a semaphore, if the host is not lost and no script waits already."""
    alive = _host(model) in ("up", "quiet")
    return model.sem("n", "n", -1, timeout=1000.0) if alive and not waits(model, "n") else []


def _register(model: ModelSetup, life: int, line: str = "its line") -> Sequence[Event]:
    session = f"n{life}"
    events = model.follow_up(model.services.register("n", session, session, line, model.now))
    model.lives["n"] = life
    return events


def _line_lost(model: ModelSetup) -> Sequence[Event]:
    model.services.line_lost("n", model.session("n"), "unplugged")
    return []


def _on_known_host(action: Action) -> Action:
    return when(lambda s: _host(s) != "unknown", lambda s: [*_start_wait(s), *action(s)])


_SHUTDOWN = "its agent says goodbye because its system is going down"


def _shut_down(model: ModelSetup) -> Sequence[Event]:
    model.services.going_down("n", model.session("n"))
    return model.stop("n")


HOST = Table(
    _host,
    {
        "unknown": (),
        "up": ("its agent registers",),
        "quiet": ("its agent registers", "nothing is heard for 8 s"),
        "lost (line lost)": ("its agent registers", "nothing is heard for 20 s"),
        "lost (stopped)": ("its agent registers", "its agent says goodbye"),
        "lost (restarted)": ("its agent registers", _SHUTDOWN),
    },
    {
        "its agent registers": when(lambda s: _host(s) == "unknown", lambda s: _register(s, 1)),
        "a valid frame comes": _on_known_host(lambda s: s.hear("n")),
        "its line drops": when(lambda s: _host(s) == "up", _on_known_host(_line_lost)),
        "nothing is heard for 8 s": when(lambda s: _host(s) == "up", _on_known_host(lambda s: s.pass_time(8.5))),
        "nothing is heard for 20 s": when(
            lambda s: _host(s) in ("up", "quiet"), _on_known_host(lambda s: s.pass_time(20.5))
        ),
        "its agent says goodbye": when(lambda s: _host(s) in ("up", "quiet"), _on_known_host(lambda s: s.stop("n"))),
        _SHUTDOWN: when(lambda s: _host(s) in ("up", "quiet"), _on_known_host(_shut_down)),
        "ten minutes pass": when(lambda s: _host(s) == "lost (restarted)", lambda s: s.pass_time(TEN_MINUTES + 0.5)),
        "its restarted agent registers": _on_known_host(lambda s: _register(s, 2)),
        "an agent on another line registers": when(
            lambda s: _host(s) in ("up", "quiet"),
            _on_known_host(failing(lambda s: _register(s, 3, "another line"), "the second agent")),
        ),
    },
)
