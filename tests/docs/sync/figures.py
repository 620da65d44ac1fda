"""Generates the figures of docs/sync.md, which show the messages between a hub and the agents of two hosts on serial lines.

For each figure, the real hub, agents and clients run a scenario on virtual time. The figure shows the records of all data
frames in order. It replaces random ids with numbered ids. It does not show acknowledgements, polls and keepalives.
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

__all__ = ["FIGURES", "FigureSetup", "figure"]

HOSTS = ("a", "b")
SAME_TIME = 0.05  # seconds; records with a smaller difference in time count as sent at the same time
WIDTH = 49  # characters between two vertical lines of a figure


@dataclass(frozen=True)
class Record:
    """A record that one end sent, or a remark in a figure.

    :ivar host: the host on whose line the record was sent; empty for a remark.
    :ivar by_hub: whether the hub sent the record; otherwise the agent of the host sent it.
    """

    time: float
    host: str
    by_hub: bool
    text: str


class FigureSetup:
    """A hub and the hosts a and b, on which a scenario starts scripts.

    :ivar sent: the records and remarks so far, in order.
    """

    def __init__(self, world: World, **published: list[str]) -> None:
        self.world = world
        self.sent: list[Record] = []
        for name in HOSTS:
            host = world.agent(name, published.get(name, ()))
            world.deliver()
            assert host.agent is not None
            host.agent._uplink.link.trace = self._recorder(name, by_hub=False)
            world.hub_peer(host).link.trace = self._recorder(name, by_hub=True)

    def _recorder(self, host: str, *, by_hub: bool) -> Callable[..., None]:
        pieces = b""

        def record_frame(way: str, kind: bytes, body: bytes, length: int) -> None:
            nonlocal pieces
            data = frames.read_data(kind, body) if kind in frames.DATA_KINDS and way == "out" else None
            for record_kind, channel, part in read_records(data.payload) if isinstance(data, Data) else ():
                if record_kind == "f":
                    pieces += part
                elif record_kind != "w":
                    self.sent.append(
                        Record(self.world.now, host, by_hub, _description(record_kind, channel, pieces + part))
                    )
                    pieces = b""

        return record_frame

    def script(self, host: str = "hub") -> Client:
        """Start a script that makes one call at a time, as a command does."""

        async def connect() -> Client:
            notices = aio._Notices("unix:hub.sock", concurrent=False)
            peer = Peer(notices, "c")
            await aio.open_line("unix:/hub" if host == "hub" else f"unix:/{host}", peer.receiver)
            await peer.ready()
            return Client(peer, notices)

        client: Client = self.world.run(connect())
        return client

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a call, and give its messages time to arrive. The result of the task may be an error."""

        async def attempt() -> Any:
            try:
                return await work
            except LinesyncError as error:
                return error

        task = self.world.start(attempt())
        self.pass_time(0.3)
        return task

    def result(self, task: asyncio.Task[Any]) -> Any:
        """Wait for the end of a call; return its result, or the error that it raised."""
        self.world.settle(task.done)
        return task.result()

    def pass_time(self, seconds: float = 0.3) -> None:
        self.world.pass_time(seconds)

    def remark(self, text: str, seconds: float = 0.0) -> None:
        self.sent.append(Record(self.world.now, "", False, text))
        self.pass_time(seconds)


def _description(kind: str, channel: int, body: bytes) -> str:
    if channel == 0:
        return body.decode()
    return {
        "o": f"opens: {body.decode()}",
        "m": f"message: {body.decode()}",
        "e": "end",
        "x": f"reset: {body.decode()}",
    }.get(kind) or f"stream {kind}: {body.decode()}"


def figure(scenario: Callable[[FigureSetup], None]) -> str:
    """Run a scenario, and draw its records."""
    with World(seed=1, compress=False) as world:
        setup = FigureSetup(world)
        scenario(setup)
        setup.pass_time(1.0)
        sent = list(setup.sent)
        for host in HOSTS:
            if world.hosts[host].agent is not None:
                world.hosts[host].agent._uplink.link.trace = None
    return _drawn(_with_numbered_ids(_in_fixed_order(sent)))


def _in_fixed_order(sent: Sequence[Record]) -> list[Record]:
    """The records in a fixed order. The records that one side sends on both lines at the same time are sorted by host,
    because their order is random."""
    runs: list[list[Record]] = []
    for record in sent:
        last = runs[-1][-1] if runs else None
        same_time = last is not None and last.host and record.host and last.by_hub == record.by_hub
        if same_time and last is not None and record.time - last.time < SAME_TIME:
            runs[-1].append(record)
        else:
            runs.append([record])
    return [record for run in runs for record in sorted(run, key=lambda record: record.host)]


def _with_numbered_ids(sent: Sequence[Record]) -> list[Record]:
    """The records, with the random ids of arrivals replaced by x1, x2 ..., and with shortened sentences and digests."""
    names: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        return match[1] + names.setdefault(match[2], f"x{len(names) + 1}")

    shown = []
    for record in sent:
        text = re.sub(r"((?:arrival=|within=|giveback |revoked \S+ ))([\w-]{8})(?= |$)", name, record.text)
        text = re.sub(r"( err \w+) .*", r"\1 <sentence> <details>", text)
        text = re.sub(r"(revoked \S+ \S+) .*", r"\1 <sentence>", text)
        shown.append(replace(record, text=re.sub(r"(done \w{8})\w+", r"\1...", text)))
    return shown


def _drawn(sent: Sequence[Record]) -> str:
    lines = [f"a{'hub':^{2 * WIDTH + 1}}b"]
    nothing = " " * WIDTH
    for record in sent:
        if not record.host:
            lines.append(f"|{f'({record.text})':^{2 * WIDTH + 1}}|")
            continue
        text = record.text if len(record.text) <= WIDTH - 6 else record.text[: WIDTH - 9].rstrip() + "..."
        shaft = "-" * (WIDTH - len(text) - 5)
        arrow = f"-- {text} {shaft}>" if record.by_hub == (record.host == "b") else f"<{shaft} {text} --"
        lines.append(f"|{arrow}|{nothing}|" if record.host == "a" else f"|{nothing}|{arrow}|")
    return "```text\n" + "\n".join(line.rstrip() for line in lines) + "\n```\n"


# -- the scenarios -----------------------------------------------------------------------------------------------------


def _barrier(setup: FigureSetup) -> None:
    first = setup.start(setup.script("a").barrier("up", members=HOSTS, timeout=60))
    second = setup.start(setup.script("b").barrier("up", members=HOSTS, timeout=60))
    assert setup.result(first).parties == setup.result(second).parties == HOSTS


def _member_asked(setup: FigureSetup) -> None:
    setup.start(setup.script("a").barrier("up", members=HOSTS, timeout=60))
    setup.remark("a's line is cut for 4 s")
    setup.world.hosts["a"].wire.pull()
    setup.pass_time(3.7)
    second = setup.start(setup.script("b").barrier("up", members=HOSTS, timeout=60))
    setup.world.hosts["a"].wire.plug()
    assert setup.result(second).parties == HOSTS


def _abort(setup: FigureSetup) -> None:
    setup.start(setup.script("a").barrier("up", members=HOSTS, timeout=60))
    setup.start(setup.script("b").barrier("up", members=HOSTS, abort="no power"))


def _repeated_arrival(setup: FigureSetup) -> None:
    killed = setup.script("a")
    setup.start(killed.barrier("up", 2, arrival="x1"))
    setup.remark("another script on a repeats the arrival, with the same id; then the first script is killed")
    second = setup.start(setup.script("a").barrier("up", 2, arrival="x1"))
    setup.world.kill(killed)
    setup.pass_time()
    setup.start(setup.script("b").barrier("up", 2))
    assert setup.result(second).count == 2


def _member_lost(setup: FigureSetup) -> None:
    setup.start(setup.script("b").barrier("up", members=HOSTS, timeout=60))
    setup.remark("a's agent is killed; 20 s pass")
    setup.world.kill_agent("a")
    setup.pass_time(22.0)


def _semaphore(setup: FigureSetup) -> None:
    setup.start(setup.script("b").semaphore("slots", -1, timeout=60))
    setup.start(setup.script("a").semaphore("slots", 1))


def _hold(setup: FigureSetup) -> None:
    setup.start(setup.script("a").semaphore("slots", 1))
    script = setup.script("a")
    setup.start(script.hold("slots"))
    setup.start(setup.script("b").semaphore("slots", -1, timeout=60))
    setup.remark("a's script is killed")
    setup.world.kill(script)


def _lock(setup: FigureSetup) -> None:
    script = setup.script("a")
    held = setup.result(setup.start(script.lock("flash")))
    setup.start(setup.script("b").lock("flash", timeout=60))
    setup.start(script.give_back(held))


def _event(setup: FigureSetup) -> None:
    setup.start(setup.script("b").wait_events("passed", "failed", any=True, timeout=60))
    setup.start(setup.script("a").set_events("passed"))


def _message(setup: FigureSetup) -> None:
    setup.start(setup.script("b").receive("ready", others=True, timeout=60))
    setup.start(setup.script("a").send("ready", "ip=10.0.0.2"))


def _exchange(setup: FigureSetup) -> None:
    setup.start(setup.script("a").exchange("keys", HOSTS, b"from a"))
    second = setup.start(setup.script("b").exchange("keys", HOSTS, b"from b"))
    assert setup.result(second) == {"a": b"from a", "b": b"from b"}


def _deadlock(setup: FigureSetup) -> None:
    first, second = setup.script("a"), setup.script("b")
    setup.result(setup.start(first.lock("flash")))
    setup.result(setup.start(second.lock("power")))
    setup.start(first.lock("power"))
    setup.start(second.lock("flash"))
    setup.remark("2 s pass", 3.0)


def _reset(setup: FigureSetup) -> None:
    setup.start(setup.script("a").lock("flash"))
    setup.start(setup.script("a").barrier("up", 3))
    setup.start(setup.script("b").reset())


FIGURES: dict[str, Callable[[FigureSetup], None]] = {
    "figure-barrier": _barrier,
    "figure-asked": _member_asked,
    "figure-abort": _abort,
    "figure-again": _repeated_arrival,
    "figure-lost": _member_lost,
    "figure-semaphore": _semaphore,
    "figure-hold": _hold,
    "figure-lock": _lock,
    "figure-event": _event,
    "figure-message": _message,
    "figure-exchange": _exchange,
    "figure-deadlock": _deadlock,
    "figure-reset": _reset,
}
