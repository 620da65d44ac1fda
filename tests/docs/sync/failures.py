"""Generates the tables in docs/sync.md with the failures of each operation, and the sentence that a command then prints.

Each row is the result of a real run, with the same hub, agents and scripts as in the figures. Numbers that depend on
milliseconds are rounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from linesync.errors import LinesyncError
from linesync.protocol import Register, encode, read_reply
from linesync.runtime.peer import Peer
from tests.docs.sync.figures import HOSTS, FigureSetup
from tests.system.world import World

__all__ = ["FAILURES", "failures"]

Attempt = Callable[[FigureSetup], Any]
"""A function that causes a failure. It returns or raises the error."""


def failures(kind: str) -> list[tuple[str, int, str]]:
    """The failures of one kind of operation: (event, exit code, sentence)."""
    rows = []
    for event, attempt in FAILURES[kind].items():
        with World(seed=1, compress=False) as world:
            setup = FigureSetup(world, a=["group=job", "role=server", "group_size=2"], b=["group=job", "role=client"])
            try:
                error = attempt(setup)
            except LinesyncError as refused:  # an argument is invalid, so nothing was sent
                error = refused
            assert isinstance(error, LinesyncError), f"{event} ended with {error!r}"
            rows.append((event, error.exit_code, _rounded(error.message)))
    return rows


def _rounded(text: str) -> str:
    text = re.sub(r"\b(\d+)\.\d+ s\b", r"\1 s", text)
    text = re.sub(r"\b(token) [\w-]{8}\b", r"\1 5d0c1f7a", text)
    return re.sub(r"\(boot [\w-]{4}…\)", "(boot Bt7x…)", text)


def _barrier(host: str, **terms: Any) -> Attempt:
    """A script on a host arrives at the barrier, and waits until the barrier fails."""
    return lambda setup: setup.result(setup.start(setup.script(host).barrier("up", **terms)))


def _after(first: Attempt, second: Attempt) -> Attempt:
    """Call two functions, and return the failure of the second function."""

    def both(setup: FigureSetup) -> Any:
        first(setup)
        return second(setup)

    return both


def _waiting(host: str, **terms: Any) -> Attempt:
    """A script on a host arrives at the barrier; return its task."""
    return lambda setup: setup.start(setup.script(host).barrier("up", **terms))


def _while_waiting(first: Attempt, ending: Callable[[FigureSetup], Any]) -> Attempt:
    """Start a script that waits, call a function that ends its wait, and return its failure."""

    def both(setup: FigureSetup) -> Any:
        task = first(setup)
        ending(setup)
        return setup.result(task)

    return both


def _lose(setup: FigureSetup, name: str = "b") -> None:
    setup.world.kill_agent(name)
    setup.pass_time(22.0)


def _stop(setup: FigureSetup, name: str = "b") -> None:
    agent = setup.world.hosts[name].agent
    assert agent is not None
    _goodbye(setup, agent._uplink, f"the agent on {name} was stopped")


def _restart(setup: FigureSetup, name: str = "b") -> None:
    setup.world.kill_agent(name)
    setup.world.agent(name)
    setup.pass_time(5.0)


def _goodbye(setup: FigureSetup, peer: Peer, why: str) -> None:
    """Close the session at one end of a line, which sends the reason to the other end."""
    assert peer.link is not None
    peer.link.close(why)
    peer._flush()
    setup.pass_time(0.5)


def _other_member_left(setup: FigureSetup) -> Any:
    task = setup.start(setup.script("a").barrier("up", members=(*HOSTS, "hub"), timeout=5))
    setup.start(setup.script("b").barrier("up", members=(*HOSTS, "hub"), timeout=2))
    return setup.result(task)


BARRIER: dict[str, Attempt] = {
    "its timeout passes": _barrier("a", members=HOSTS, timeout=5),
    "its timeout passes, and one has left": _other_member_left,
    "by count": _barrier("a", count=3, timeout=5),
    "a poll that does not complete it": _barrier("a", members=HOSTS, timeout=0),
    "a member's host is lost": _while_waiting(_waiting("a", members=HOSTS), _lose),
    "a member restarts after it had arrived": _after(
        _waiting("b", members=("a", "b", "hub")),
        _while_waiting(_waiting("a", members=("a", "b", "hub")), _restart),
    ),
    "a member's agent was stopped": _while_waiting(_waiting("a", members=HOSTS), _stop),
    "a member arrives while another one is lost": _after(_lose, _barrier("a", members=HOSTS)),
    "a member aborts it": _while_waiting(
        _waiting("a", members=HOSTS),
        lambda setup: setup.start(setup.script("b").barrier("up", members=HOSTS, abort="no power")),
    ),
    "another count": _after(_waiting("a", count=3), _barrier("b", count=2)),
    "other members": _after(_waiting("a", members=HOSTS), _barrier("b", members=["a", "b", "hub"])),
    "not a member": _barrier("hub", members=HOSTS),
    "the member has already arrived": _after(_waiting("a", members=HOSTS), _barrier("a", members=HOSTS)),
    "used up (`--reuse once`)": _after(_waiting("a", count=1, reuse="once"), _barrier("b", count=1, reuse="once")),
    "an invalid list": _barrier("a", members=["a", "b c"]),
}


def _sem(host: str, delta: int, **options: Any) -> Attempt:
    return lambda setup: setup.result(setup.start(setup.script(host).semaphore("slots", delta, **options)))


SEMAPHORE: dict[str, Attempt] = {
    "its timeout passes": _sem("a", -2, timeout=5),
    "a poll finds too few units": _after(_sem("a", 1), _sem("a", -2, timeout=0)),
    "giving more than the bound": _after(_sem("a", 2, bound=2), _sem("b", 1)),
    "another bound": _after(_sem("a", 2, bound=2), _sem("b", -1, bound=3)),
    "taking more than the bound": _after(_sem("a", 2, bound=2), _sem("b", -3)),
}


def _lock(host: str, **options: Any) -> Attempt:
    return lambda setup: setup.start(setup.script(host).lock("flash", **options))


def _given_back_late(setup: FigureSetup) -> Any:
    script = setup.script("a")
    held = setup.result(setup.start(script.lock("flash")))
    setup.start(setup.script("b").reset())
    return setup.result(setup.start(script.give_back(held)))


LOCK: dict[str, Attempt] = {
    "its timeout passes": _after(_lock("a"), lambda setup: setup.result(_lock("b", timeout=5)(setup))),
    "a lock of another host": _after(
        _lock("a"), lambda setup: setup.result(setup.start(setup.script("b").unlock("flash", 1)))
    ),
    "the lock was lost before": _given_back_late,
}


def _events(setup: FigureSetup) -> Any:
    setup.start(setup.script("b").set_events("server-up"))
    return setup.result(setup.start(setup.script("a").wait_events("server-up", "client-up", timeout=5)))


EVENT: dict[str, Attempt] = {"its timeout passes": _events}


def _wait_all(host: str, **options: Any) -> Attempt:
    return lambda setup: setup.start(setup.script(host).receive_all("ready", **options))


MESSAGE: dict[str, Attempt] = {
    "`wait`: its timeout passes": lambda setup: setup.result(
        setup.start(setup.script("a").receive("ready", others=True, timeout=5))
    ),
    "`wait-all`: its timeout passes": lambda setup: setup.result(_wait_all("a", timeout=5)(setup)),
    "`wait-all`: a host that has not sent is lost": _while_waiting(_wait_all("a"), _lose),
    "`wait-all`: no host has the role": lambda setup: setup.result(_wait_all("a", role="router")(setup)),
}


def _exchange(host: str, members: Any = HOSTS, data: bytes = b"data", **options: Any) -> Attempt:
    return lambda setup: setup.start(setup.script(host).exchange("keys", members, data, **options))


def _result_of(attempt: Attempt) -> Attempt:
    return lambda setup: setup.result(attempt(setup))


EXCHANGE: dict[str, Attempt] = {
    "its timeout passes": _result_of(_exchange("a", timeout=5)),
    "a member that has not given its data is lost": _while_waiting(_exchange("a"), _lose),
    "other members": _after(_exchange("a"), _result_of(_exchange("b", ("a", "b", "hub")))),
    "not a member": _result_of(_exchange("hub")),
    "the member has already arrived": _after(_exchange("a"), _result_of(_exchange("a"))),
    "too much data": _result_of(_exchange("a", data=bytes((16 << 20) + 1))),
}


def _two_locks(setup: FigureSetup) -> Any:
    first, second = setup.script("a"), setup.script("b")
    setup.result(setup.start(first.lock("flash")))
    setup.result(setup.start(second.lock("power")))
    task = setup.start(first.lock("power"))
    setup.start(second.lock("flash"))
    return setup.result(task)


def _lock_and_barrier(setup: FigureSetup) -> Any:
    first, second = setup.script("a"), setup.script("b")
    setup.result(setup.start(first.lock("flash")))
    task = setup.start(second.lock("flash"))
    setup.start(first.barrier("up", members=HOSTS))
    return setup.result(task)


DEADLOCK: dict[str, Attempt] = {"two locks": _two_locks, "a lock and a barrier": _lock_and_barrier}


def _owner_ends(setup: FigureSetup) -> Any:
    owner = setup.script("b")
    setup.result(setup.start(owner.begin_namespace("run17")))
    task = setup.start(setup.script("a").barrier("up", 2, namespace="run17"))
    setup.world.kill(owner)
    return setup.result(task)


def _namespace_in_use(setup: FigureSetup) -> Any:
    setup.result(setup.start(setup.script("b").begin_namespace("run17")))
    return setup.result(setup.start(setup.script("a").begin_namespace("run17")))


RESET: dict[str, Attempt] = {
    "a reset while a script waits": _while_waiting(
        _waiting("a", members=HOSTS), lambda setup: setup.start(setup.script("b").reset("up"))
    ),
    "the owner of the namespace ends while a script waits": _owner_ends,
    "an arrival in a namespace that has ended": lambda setup: setup.result(
        setup.start(setup.script("a").barrier("up", 2, namespace="@Ab3dE6gH"))
    ),
    "a name that is in use": _namespace_in_use,
}


def _silent_line(setup: FigureSetup) -> Any:
    setup.world.hosts["a"].wire.pull()
    return setup.result(setup.start(setup.script("a").barrier("up", 2, timeout=5)))


def _agent_dies(setup: FigureSetup) -> None:
    setup.world.kill_agent("a")


def _hub_stops(setup: FigureSetup) -> None:
    _goodbye(setup, setup.world.hub_peer(setup.world.hosts["a"]), "the hub was stopped")


def _second_agent(setup: FigureSetup) -> Any:
    script = setup.script()

    async def register() -> list[str]:
        _, pending = script.peer.ask(encode(Register(name="a", boot="00000000")))
        return read_reply(await script.peer.reply_to(pending))

    return setup.result(setup.start(register()))


LIFE: dict[str, Attempt] = {
    "the line is silent, and the timeout passes": _silent_line,
    "the hub stops": _while_waiting(_waiting("a", count=2), _hub_stops),
    "the agent on the host dies": _while_waiting(_waiting("a", count=2), _agent_dies),
    "two agents with one name": _second_agent,
}

FAILURES = {
    "barrier": BARRIER,
    "semaphore": SEMAPHORE,
    "lock": LOCK,
    "event": EVENT,
    "message": MESSAGE,
    "exchange": EXCHANGE,
    "deadlock": DEADLOCK,
    "reset": RESET,
    "life": LIFE,
}
