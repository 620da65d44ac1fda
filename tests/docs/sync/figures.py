"""The figures of docs/sync.md: what a hub and the agents of two hosts send on their serial lines.

Each figure is a real run on virtual time. The hub, the agents and the scripts are the program's own, and the figure shows
the records of every data frame they sent, in order. Random ids are numbered. Acknowledgements, polls and keepalives are
left out.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from linesync.client import aio
from linesync.client.aio import Client
from linesync.errors import LinesyncError
from linesync.runtime.peer import Peer
from linesync.wire.framing import frames
from linesync.wire.framing.frames import Data
from tests.system.world import World
from tools.protocol_examples import read_records

__all__ = ["FIGURES", "Play", "figure"]

HOSTS = ("a", "b")
AT_ONCE = 0.05  # seconds
WIDTH = 49  # characters of what stands between two hosts in a figure


@dataclass(frozen=True)
class Said:
    """A record of a frame.

    :ivar host: the host on whose line it was; empty for a remark of the figure itself.
    :ivar by_hub: the hub sent it; else the agent did.
    """

    time: float
    host: str
    by_hub: bool
    text: str


class Play:
    """A hub, the hosts a and b, and what their scripts do.

    :ivar said: each record, and remarks, in order.
    """

    def __init__(self, world: World, **published: list[str]) -> None:
        self.world = world
        self.said: list[Said] = []
        for name in HOSTS:
            host = world.agent(name, published.get(name, ()))
            world.deliver()
            assert host.agent is not None
            host.agent._uplink.link.trace = self._tap(name, by_hub=False)
            world.hub_peer(host).link.trace = self._tap(name, by_hub=True)

    def _tap(self, host: str, *, by_hub: bool) -> Callable[..., None]:
        pieces = b""

        def tap(way: str, kind: bytes, body: bytes, length: int) -> None:
            nonlocal pieces
            data = frames.read_data(kind, body) if kind in frames.DATA_KINDS and way == "out" else None
            for what, channel, part in read_records(data.payload) if isinstance(data, Data) else ():
                if what == "f":
                    pieces += part
                elif what != "w":
                    self.said.append(Said(self.world.now, host, by_hub, _in_words(what, channel, pieces + part)))
                    pieces = b""

        return tap

    def script(self, host: str = "hub") -> Client:
        """A script that does one thing at a time, like a command."""

        async def connect() -> Client:
            notices = aio._Notices()
            peer = Peer(notices, "c")
            await aio.open_line("unix:/hub" if host == "hub" else f"unix:/{host}", peer.receiver)
            await peer.ready()
            return Client(peer, notices)

        client: Client = self.world.run(connect())
        return client

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin something that waits, and let it reach everybody. Its result may be an error."""

        async def attempt() -> Any:
            try:
                return await work
            except LinesyncError as error:
                return error

        task = self.world.start(attempt())
        self.rest(0.3)
        return task

    def result(self, task: asyncio.Task[Any]) -> Any:
        """Its result, or the error it ended with."""
        self.world.settle(task.done)
        return task.result()

    def rest(self, seconds: float = 0.3) -> None:
        self.world.pass_time(seconds)

    def remark(self, text: str, seconds: float = 0.0) -> None:
        self.said.append(Said(self.world.now, "", False, text))
        self.rest(seconds)


def _in_words(kind: str, channel: int, body: bytes) -> str:
    if channel == 0:
        return body.decode()
    return {
        "o": f"opens: {body.decode()}",
        "m": f"message: {body.decode()}",
        "e": "end",
        "x": f"reset: {body.decode()}",
    }.get(kind) or f"stream {kind}: {body.decode()}"


def figure(play: Callable[[Play], None]) -> str:
    """Run a play, and draw it."""
    with World(seed=1, compress=False) as world:
        stage = Play(world)
        play(stage)
        stage.rest(1.0)
        said = list(stage.said)
        for host in HOSTS:
            if world.hosts[host].agent is not None:
                world.hosts[host].agent._uplink.link.trace = None
    return _drawn(_numbered(_settled(said)))


def _settled(said: Sequence[Said]) -> list[Said]:
    """The records in a fixed order: those that one side sends on both lines at the same time are sorted by host, because
    which line comes first is chance."""
    runs: list[list[Said]] = []
    for one in said:
        last = runs[-1][-1] if runs else None
        same = last is not None and last.host and one.host and last.by_hub == one.by_hub
        if same and last is not None and one.time - last.time < AT_ONCE:
            runs[-1].append(one)
        else:
            runs.append([one])
    return [one for run in runs for one in sorted(run, key=lambda one: one.host)]


def _numbered(said: Sequence[Said]) -> list[Said]:
    """The records with random ids of arrivals as x1, x2 ..., and with sentences and digests cut."""
    names: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        return match[1] + names.setdefault(match[2], f"x{len(names) + 1}")

    shown = []
    for one in said:
        text = re.sub(r"((?:arrival=|within=|giveback |revoked \S+ ))([\w-]{8})(?= |$)", name, one.text)
        text = re.sub(r"( err \w+) .*", r"\1 <sentence> <details>", text)
        text = re.sub(r"(revoked \S+ \S+) .*", r"\1 <sentence>", text)
        shown.append(replace(one, text=re.sub(r"(done \w{8})\w+", r"\1...", text)))
    return shown


def _drawn(said: Sequence[Said]) -> str:
    lines = [f"a{'hub':^{2 * WIDTH + 1}}b"]
    nothing = " " * WIDTH
    for one in said:
        if not one.host:
            lines.append(f"|{f'({one.text})':^{2 * WIDTH + 1}}|")
            continue
        text = one.text if len(one.text) <= WIDTH - 6 else one.text[: WIDTH - 9].rstrip() + "..."
        shaft = "-" * (WIDTH - len(text) - 5)
        arrow = f"-- {text} {shaft}>" if one.by_hub == (one.host == "b") else f"<{shaft} {text} --"
        lines.append(f"|{arrow}|{nothing}|" if one.host == "a" else f"|{nothing}|{arrow}|")
    return "```text\n" + "\n".join(line.rstrip() for line in lines) + "\n```\n"


# -- the plays ----------------------------------------------------------------------------------------------------


def _barrier(play: Play) -> None:
    first = play.start(play.script("a").barrier("up", members=HOSTS, timeout=60))
    second = play.start(play.script("b").barrier("up", members=HOSTS, timeout=60))
    assert play.result(first).parties == play.result(second).parties == HOSTS


def _asked(play: Play) -> None:
    play.start(play.script("a").barrier("up", members=HOSTS, timeout=60))
    play.remark("a's line is cut for 4 s")
    play.world.hosts["a"].wire.pull()
    play.rest(3.7)
    second = play.start(play.script("b").barrier("up", members=HOSTS, timeout=60))
    play.world.hosts["a"].wire.plug()
    assert play.result(second).parties == HOSTS


def _abort(play: Play) -> None:
    play.start(play.script("a").barrier("up", members=HOSTS, timeout=60))
    play.start(play.script("b").barrier("up", members=HOSTS, abort="no power"))


def _again(play: Play) -> None:
    killed = play.script("a")
    play.start(killed.barrier("up", 2, arrival="x1"))
    play.remark("another script on a repeats the arrival, with the same id; then the first script is killed")
    second = play.start(play.script("a").barrier("up", 2, arrival="x1"))
    play.world.kill(killed)
    play.rest()
    play.start(play.script("b").barrier("up", 2))
    assert play.result(second).count == 2


def _lost(play: Play) -> None:
    play.start(play.script("b").barrier("up", members=HOSTS, timeout=60))
    play.remark("a's agent is killed; 20 s pass")
    play.world.kill_agent("a")
    play.rest(22.0)


def _semaphore(play: Play) -> None:
    play.start(play.script("b").semaphore("slots", -1, timeout=60))
    play.start(play.script("a").semaphore("slots", 1))


def _hold(play: Play) -> None:
    play.start(play.script("a").semaphore("slots", 1))
    script = play.script("a")
    play.start(script.hold("slots"))
    play.start(play.script("b").semaphore("slots", -1, timeout=60))
    play.remark("a's script is killed")
    play.world.kill(script)


def _lock(play: Play) -> None:
    script = play.script("a")
    held = play.result(play.start(script.lock("flash")))
    play.start(play.script("b").lock("flash", timeout=60))
    play.start(script.give_back(held))


def _event(play: Play) -> None:
    play.start(play.script("b").wait_events("passed", "failed", any=True, timeout=60))
    play.start(play.script("a").set_events("passed"))


def _message(play: Play) -> None:
    play.start(play.script("b").receive("ready", others=True, timeout=60))
    play.start(play.script("a").send("ready", "ip=10.0.0.2"))


def _exchange(play: Play) -> None:
    play.start(play.script("a").exchange("keys", HOSTS, b"from a", timeout=60))
    second = play.start(play.script("b").exchange("keys", HOSTS, b"from b", timeout=60))
    assert play.result(second) == {"a": b"from a", "b": b"from b"}


def _deadlock(play: Play) -> None:
    one, two = play.script("a"), play.script("b")
    play.result(play.start(one.lock("flash")))
    play.result(play.start(two.lock("power")))
    play.start(one.lock("power"))
    play.start(two.lock("flash"))
    play.remark("2 s pass", 3.0)


def _reset(play: Play) -> None:
    play.start(play.script("a").lock("flash"))
    play.start(play.script("a").barrier("up", 3))
    play.start(play.script("b").reset())


FIGURES: dict[str, Callable[[Play], None]] = {
    "figure-barrier": _barrier,
    "figure-asked": _asked,
    "figure-abort": _abort,
    "figure-again": _again,
    "figure-lost": _lost,
    "figure-semaphore": _semaphore,
    "figure-hold": _hold,
    "figure-lock": _lock,
    "figure-event": _event,
    "figure-message": _message,
    "figure-exchange": _exchange,
    "figure-deadlock": _deadlock,
    "figure-reset": _reset,
}
