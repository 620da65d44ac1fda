"""How each operation fails, for docs/sync.md. Every row is a real run, and its sentence is what a command prints.

The hub, the agents and the scripts are those of the figures. Numbers that depend on milliseconds are rounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from linesync.errors import LinesyncError
from linesync.protocol import Register, encode, read_reply
from linesync.runtime.peer import Peer
from tests.docs.sync.figures import HOSTS, Play
from tests.system.world import World

__all__ = ["FAILURES", "failures"]

Fails = Callable[[Play], Any]


def failures(kind: str) -> list[tuple[str, int, str]]:
    """(what happened, exit code, sentence) of each failure of one kind of operation."""
    rows = []
    for what, play in FAILURES[kind].items():
        with World(seed=1, compress=False) as world:
            stage = Play(world, a=["group=job", "role=server", "group_size=2"], b=["group=job", "role=client"])
            try:
                error = play(stage)
            except LinesyncError as refused:  # an argument is invalid, so nothing was sent
                error = refused
            assert isinstance(error, LinesyncError), f"{what} ended with {error!r}"
            rows.append((what, error.exit_code, _rounded(error.message)))
    return rows


def _rounded(text: str) -> str:
    text = re.sub(r"\b(\d+)\.\d+ s\b", r"\1 s", text)
    text = re.sub(r"\b(token) [\w-]{8}\b", r"\1 5d0c1f7a", text)
    return re.sub(r"\(boot [\w-]{4}…\)", "(boot Bt7x…)", text)


def _barrier(host: str, **how: Any) -> Fails:
    """A script on a host arrives alone."""
    return lambda play: play.result(play.start(play.script(host).barrier("up", **how)))


def _after(first: Fails, then: Fails) -> Fails:
    """One after the other; returns the failure of the second."""

    def both(play: Play) -> Any:
        first(play)
        return then(play)

    return both


def _waiting(host: str, **how: Any) -> Fails:
    """A script on a host arrives and waits."""
    return lambda play: play.start(play.script(host).barrier("up", **how))


def _while_waiting(first: Fails, then: Callable[[Play], Any]) -> Fails:
    """Something happens to a script that waits; returns its failure."""

    def both(play: Play) -> Any:
        task = first(play)
        then(play)
        return play.result(task)

    return both


def _lose(play: Play, name: str = "b") -> None:
    play.world.kill_agent(name)
    play.rest(22.0)


def _stop(play: Play, name: str = "b") -> None:
    agent = play.world.hosts[name].agent
    assert agent is not None
    _goodbye(play, agent._uplink, f"the agent on {name} was stopped")


def _restart(play: Play, name: str = "b") -> None:
    play.world.kill_agent(name)
    play.world.agent(name)
    play.rest(5.0)


def _goodbye(play: Play, peer: Peer, why: str) -> None:
    """One end of a line stops in an orderly way."""
    assert peer.link is not None
    peer.link.close(why)
    peer._flush()
    play.rest(0.5)


def _left(play: Play) -> Any:
    task = play.start(play.script("a").barrier("up", members=(*HOSTS, "hub"), timeout=5))
    play.start(play.script("b").barrier("up", members=(*HOSTS, "hub"), timeout=2))
    return play.result(task)


BARRIER: dict[str, Fails] = {
    "its timeout passes": _barrier("a", members=HOSTS, timeout=5),
    "its timeout passes, and one has left": _left,
    "by count": _barrier("a", count=3, timeout=5),
    "a poll that does not complete it": _barrier("a", members=HOSTS, timeout=0),
    "a member's host is lost": _while_waiting(_waiting("a", members=HOSTS), _lose),
    "a member restarts after it had arrived": _after(
        _waiting("b", members=("a", "b", "hub")), _while_waiting(_waiting("a", members=("a", "b", "hub")), _restart)
    ),
    "a member's agent was stopped": _while_waiting(_waiting("a", members=HOSTS), _stop),
    "a member arrives while another one is lost": _after(_lose, _barrier("a", members=HOSTS)),
    "a member aborts it": _while_waiting(
        _waiting("a", members=HOSTS),
        lambda play: play.start(play.script("b").barrier("up", members=HOSTS, abort="no power")),
    ),
    "another count": _after(_waiting("a", count=3), _barrier("b", count=2)),
    "other members": _after(_waiting("a", members=HOSTS), _barrier("b", members=["a", "b", "hub"])),
    "not a member": _barrier("hub", members=HOSTS),
    "the member has already arrived": _after(_waiting("a", members=HOSTS), _barrier("a", members=HOSTS)),
    "used up (`--reuse once`)": _after(_waiting("a", count=1, reuse="once"), _barrier("b", count=1, reuse="once")),
    "an invalid list": _barrier("a", members=["a", "b c"]),
}


def _sem(host: str, delta: int, **how: Any) -> Fails:
    return lambda play: play.result(play.start(play.script(host).semaphore("slots", delta, **how)))


SEMAPHORE: dict[str, Fails] = {
    "its timeout passes": _sem("a", -2, timeout=5),
    "a poll finds too few units": _after(_sem("a", 1), _sem("a", -2, timeout=0)),
    "giving more than the bound": _after(_sem("a", 2, bound=2), _sem("b", 1)),
    "another bound": _after(_sem("a", 2, bound=2), _sem("b", -1, bound=3)),
    "taking more than the bound": _after(_sem("a", 2, bound=2), _sem("b", -3)),
}


def _lock(host: str, **how: Any) -> Fails:
    return lambda play: play.start(play.script(host).lock("flash", **how))


def _given_back_late(play: Play) -> Any:
    script = play.script("a")
    held = play.result(play.start(script.lock("flash")))
    play.start(play.script("b").reset())
    return play.result(play.start(script.give_back(held)))


LOCK: dict[str, Fails] = {
    "its timeout passes": _after(_lock("a"), lambda play: play.result(_lock("b", timeout=5)(play))),
    "a lock of another host": _after(
        _lock("a"), lambda play: play.result(play.start(play.script("b").unlock("flash", 1)))
    ),
    "the lock was lost before": _given_back_late,
}


def _events(play: Play) -> Any:
    play.start(play.script("b").set_events("server-up"))
    return play.result(play.start(play.script("a").wait_events("server-up", "client-up", timeout=5)))


EVENT: dict[str, Fails] = {"its timeout passes": _events}


def _wait_all(host: str, **how: Any) -> Fails:
    return lambda play: play.start(play.script(host).receive_all("ready", **how))


MESSAGE: dict[str, Fails] = {
    "`wait`: its timeout passes": lambda play: play.result(
        play.start(play.script("a").receive("ready", others=True, timeout=5))
    ),
    "`wait-all`: its timeout passes": lambda play: play.result(_wait_all("a", timeout=5)(play)),
    "`wait-all`: a host that has not sent is lost": _while_waiting(_wait_all("a"), _lose),
    "`wait-all`: no host has the role": lambda play: play.result(_wait_all("a", role="router")(play)),
}


def _exchange(host: str, members: Any = HOSTS, data: bytes = b"data", **how: Any) -> Fails:
    return lambda play: play.start(play.script(host).exchange("keys", members, data, **how))


def _alone(fails: Fails) -> Fails:
    return lambda play: play.result(fails(play))


EXCHANGE: dict[str, Fails] = {
    "its timeout passes": _alone(_exchange("a", timeout=5)),
    "a member that has not given its data is lost": _while_waiting(_exchange("a"), _lose),
    "other members": _after(_exchange("a"), _alone(_exchange("b", ("a", "b", "hub")))),
    "not a member": _alone(_exchange("hub")),
    "the member has already arrived": _after(_exchange("a"), _alone(_exchange("a"))),
    "too much data": _alone(_exchange("a", data=bytes((16 << 20) + 1))),
}


def _cycle(play: Play) -> Any:
    one, two = play.script("a"), play.script("b")
    play.result(play.start(one.lock("flash")))
    play.result(play.start(two.lock("power")))
    task = play.start(one.lock("power"))
    play.start(two.lock("flash"))
    return play.result(task)


def _at_barrier(play: Play) -> Any:
    one, two = play.script("a"), play.script("b")
    play.result(play.start(one.lock("flash")))
    task = play.start(two.lock("flash"))
    play.start(one.barrier("up", members=HOSTS))
    return play.result(task)


DEADLOCK: dict[str, Fails] = {"two locks": _cycle, "a lock and a barrier": _at_barrier}


def _owner_ends(play: Play) -> Any:
    owner = play.script("b")
    play.result(play.start(owner.begin_namespace("run17")))
    task = play.start(play.script("a").barrier("up", 2, namespace="run17"))
    play.world.kill(owner)
    return play.result(task)


def _named_twice(play: Play) -> Any:
    play.result(play.start(play.script("b").begin_namespace("run17")))
    return play.result(play.start(play.script("a").begin_namespace("run17")))


RESET: dict[str, Fails] = {
    "a reset while a script waits": _while_waiting(
        _waiting("a", members=HOSTS), lambda play: play.start(play.script("b").reset("up"))
    ),
    "the owner of the namespace ends while a script waits": _owner_ends,
    "an arrival in a namespace that has ended": lambda play: play.result(
        play.start(play.script("a").barrier("up", 2, namespace="@Ab3dE6gH"))
    ),
    "a name that is in use": _named_twice,
}


def _silent(play: Play) -> Any:
    play.world.hosts["a"].wire.pull()
    return play.result(play.start(play.script("a").barrier("up", 2, timeout=5)))


def _agent_dies(play: Play) -> None:
    play.world.kill_agent("a")


def _hub_stops(play: Play) -> None:
    _goodbye(play, play.world.hub_peer(play.world.hosts["a"]), "the hub was stopped")


def _twin(play: Play) -> Any:
    script = play.script()

    async def register() -> list[str]:
        _, pending = script.peer.ask(encode(Register(name="a", boot="00000000")))
        return read_reply(await script.peer.reply_to(pending))

    return play.result(play.start(register()))


LIFE: dict[str, Fails] = {
    "the line is silent, and the timeout passes": _silent,
    "the hub stops": _while_waiting(_waiting("a", count=2), _hub_stops),
    "the agent on the host dies": _while_waiting(_waiting("a", count=2), _agent_dies),
    "two agents with one name": _twin,
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
