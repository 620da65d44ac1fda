"""A simulated system: one hub, its agents on lossy lines, and their scripts. Only the lines and the clock are simulated.

Everything runs on a loop whose clock jumps, so minutes pass in milliseconds. All randomness comes from the seed, so that
each life can be repeated exactly::

    with World(seed=7, faults=Faults(ber=1e-5)) as world:
        world.agent("sut")
        client = world.client("sut")
        assert world.run(client.semaphore("slots", 2)) == 2

Scripts reach their agent or the hub over perfect pipes.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from unittest.mock import patch

from linesync import limits
from linesync.agent.agent import Agent
from linesync.client import aio
from linesync.client.aio import Client
from linesync.hub.hub import Hub
from linesync.hub.state.durable import restore
from linesync.model.policy import Policy, Rule
from linesync.protocol.ids import Id
from linesync.runtime import identity
from linesync.testing.faults import Faults
from linesync.testing.memory_lines import MemoryLine, SerialWire, Switchboard
from linesync.testing.virtual_loop import VirtualLoop
from linesync.wire.framing.frames import Lane, describe
from linesync.wire.reliability.handshake import LocalParameters

from .disk import Disk

__all__ = ["Host", "World"]

_HUB = "unix:/hub"
_HOST_EVENT = re.compile(r"host (\S+) is (?:(up|back)|lost: ([a-z ]+) \()")
_TRANSCRIPT = 4000  # the maximum number of lines of the transcript


def _uncompressed_end(*args: Any, **named: Any) -> LocalParameters:
    local = identity.local_end(*args, **named)
    return local.but(flags=local.flags.replace("z", ""))


class Host:
    """A machine with an agent, and the line between it and the hub."""

    def __init__(self, name: str, wire: SerialWire) -> None:
        self.name = name
        self.wire = wire
        self.agent: Agent | None = None
        """The agent, or None while it is dead."""
        self.running: asyncio.Task[None] | None = None
        self.socket = f"unix:/{name}"
        self.port = f"/dev/{name}"


class World:
    """A hub with its hosts and lines, on virtual time.

    :param seed: the seed of all randomness.
    :param faults: the faults of every line, in both directions.
    :param byte_rate: the speed of every line in bytes per second.
    :param lease: the hub's lease in seconds.
    :param probe: whether the ends probe for longer frames, and check their lines for symptoms.
    :param durable: whether the hub stores its state, and continues with it after it was killed.
    :param compress: whether messages are compressed on the lines. Without compression, the transcript shows their text.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        faults: Faults | None = None,
        byte_rate: float = 11520.0,
        lease: float = 20.0,
        probe: bool = False,
        compress: bool = True,
        durable: bool = False,
    ) -> None:
        self.seed = seed
        self.loop = VirtualLoop()
        self.random = random.Random(seed)
        self.hosts: dict[str, Host] = {}
        self._faults = faults
        self._byte_rate = byte_rate
        self._board = Switchboard()
        self._log: deque[tuple[float, Any]] = deque(maxlen=_TRANSCRIPT)
        self._failures: list[dict[str, Any]] = []
        self._clients: list[Client] = []
        self._started: set[asyncio.Task[Any]] = set()
        self._ended_sessions: set[str] = set()
        self._events: list[tuple[str, str, str]] = []
        self.loop.set_exception_handler(lambda _, context: self._failures.append(context))
        self._patches = [
            patch.object(identity, "entropy", self.random.randbytes),
            patch("linesync.runtime.reconnect.connect", self._board.connect),
            patch.object(aio, "open_line", self._board.connect),
            patch("linesync.hub.hub.listen", self._board.listen),
            patch("linesync.agent.agent.listen", self._board.listen),
            patch.object(limits, "LOG_BURST", 1_000_000),  # a search counts the reports of the hub
        ]
        if not probe:  # probes are half of the events on the lines, and most tests do not depend on them
            self._patches += [
                patch.object(limits, "PROBE_SIZES", ()),
                patch("linesync.runtime.peer._SYMPTOM_INTERVAL", 60.0),
            ]
        if not compress:
            self._patches.append(patch("linesync.runtime.peer.local_end", _uncompressed_end))
        for change in self._patches:
            change.start()
        self._lease = lease
        self.policy = Policy((Rule(allow=True),))
        """The rules of the next hub."""
        self.disk = Disk(self.random, self._events) if durable else None
        self.hub = self.run(self._begin())

    async def _begin(self) -> Hub:
        durable = None
        if self.disk is not None:
            state, rows = self.disk.open()
            durable = restore(state, rows, self._note_report, lease=self._lease)
        hub = Hub(lease=self._lease, report=self._report, boot=identity.token(), durable=durable, policy=self.policy)
        await hub.add_listener(_HUB)
        for host in self.hosts.values():
            hub.add_port(f"{host.port}@hub")
        return hub

    def _note_report(self, text: str, *, peer: str = "", burst: int = 0) -> None:
        self.note(f"hub: {text}")

    def _report(self, text: str) -> None:
        self.note(f"hub: {text}")
        found = _HOST_EVENT.match(text)
        if found:
            host, up, cause = found.groups()
            self._events.append(("up" if up else "lost", host, cause or ""))

    def _agent_report(self, host: str, text: str) -> None:
        self.note(f"{host}: {text}")
        if text.startswith("the session with the hub is over"):
            self._ended_sessions.add(host)

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- agents and scripts -------------------------------------------------------------------------------------------

    def agent(self, name: str, published: Sequence[str] = ()) -> Host:
        """Start a host's agent. The first agent of a host gets a new line, and later ones use the same line again."""
        if name not in self.hosts:
            self.hosts[name] = self.run(self._wire(name))
        host = self.hosts[name]
        assert host.agent is None, f"{name} has an agent"
        self.note(f"the agent of {name} starts")
        self.run(self._start(host, published))
        return host

    async def _wire(self, name: str) -> Host:
        wire = SerialWire(name, seed=self.random.getrandbits(30), byte_rate=self._byte_rate, faults=self._faults)
        host = Host(name, wire)
        self._board.add(wire, host.port, f"{host.port}@hub")
        self.hub.add_port(f"{host.port}@hub")
        return host

    async def _start(self, host: Host, published: Sequence[str]) -> None:
        agent = host.agent = Agent(
            name=host.name,
            published=published,
            report=lambda text: self._agent_report(host.name, text),
            boot=identity.token(),
        )
        await agent.add_listener(host.socket)
        host.running = asyncio.ensure_future(agent.run(host.port))
        for _ in range(4):
            await asyncio.sleep(0)
        self._trace(host)

    def _trace(self, host: Host) -> None:
        peers = [(host.agent._uplink if host.agent else None, host.name), (self.hub_peer(host), f"hub/{host.name}")]
        for peer, name in peers:
            if peer is not None and peer.link is not None and peer.link.trace is None:
                peer.link.trace = lambda *frame, name=name: self._log.append((self.loop.time(), (name, *frame)))

    def hub_peer(self, host: Host) -> Any:
        """The hub's peer on a host's line."""
        return next(port.peer for port in self.hub._ports if port.endpoint == f"{host.port}@hub")

    def client(self, host: str = "hub") -> Client:
        """Start a script on a host or on the hub's machine. Returns its client."""
        client: Client = self.run(aio.connect(_HUB if host == "hub" else self.hosts[host].socket))
        self._clients.append(client)
        return client

    # -- deaths -------------------------------------------------------------------------------------------------------

    def kill(self, client: Client) -> None:
        """Kill a script. Its connection ends without a goodbye."""
        line = client._peer.line
        if isinstance(line, MemoryLine):
            line.die()
        client._peer.abandon("this script was killed")
        if client._notices.returning is not None:
            client._notices.returning.cancel()

    def kill_agent(self, name: str) -> None:
        """Kill an agent. Its line becomes silent, and its scripts lose their connections."""
        host = self.hosts[name]
        agent, running, host.agent, host.running = host.agent, host.running, None, None
        assert agent is not None and running is not None, f"{name} has no agent"
        self.note(f"the agent of {name} is killed")
        uplink = agent._uplink.line
        if isinstance(uplink, MemoryLine):
            uplink.die()
        for pipe in self._board.hang_up(host.socket):
            pipe.die()
        running.cancel()
        self.run(self._await_end(agent, running))

    def kill_hub(self, away: float = 0.0) -> None:
        """Kill the hub and start a new one, which has the state that the old one has stored, if any.

        :param away: the seconds until the new one starts.
        """
        self.note("the hub is killed, and another starts")
        if self.disk is not None:
            self.disk.kill()
        hub = self.hub
        for peer in hub._peers:
            if isinstance(peer.line, MemoryLine):
                peer.line.die()
        for pipe in self._board.hang_up(_HUB):
            pipe.die()
        self.run(hub.aclose(keep=True))
        self.pass_time(away)
        if self.disk is None:
            self._events.clear()
        self.hub = self.run(self._begin())

    def replace_drained_hub(self) -> None:
        """Close the hub, which was drained, and start a new one with its state."""
        assert self.hub.drained
        self.run(self.hub.aclose("the hub was drained", keep=self.disk is not None))
        if self.disk is not None:
            assert self.disk.idle
            self.disk.kill()
        self.hub = self.run(self._begin())

    @staticmethod
    async def _await_end(agent: Agent, running: asyncio.Task[None]) -> None:
        await asyncio.gather(running, agent.aclose(), return_exceptions=True)

    # -- time ---------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self.loop.time()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task. It runs while time passes."""
        task = self.loop.create_task(work)
        self._started.add(task)
        task.add_done_callback(self._started.discard)
        return task

    def run(self, work: Coroutine[Any, Any, Any], limit: float = 60.0) -> Any:
        """Run a coroutine to its end. Returns its result or raises its error.

        :raises AssertionError: it does not end within ``limit`` seconds.
        """
        task = self.start(work)
        self.settle(task.done, limit, "the coroutine should have ended")
        return task.result()

    def pass_time(self, seconds: float) -> None:
        self.loop.run_until(None, self.now + seconds)
        self._check()

    def settle(
        self, until: Callable[[], bool], limit: float = 60.0, what: str = "the condition should be true"
    ) -> None:
        """Let time pass until a condition is true.

        :param what: the expected event, for the error.
        :raises AssertionError: the condition is not true within ``limit`` seconds.
        """
        held = self.loop.run_until(until, self.now + limit)
        self._check()
        assert held, f"{what} within {limit:g} s\n{self.transcript()}"

    def deliver(self, limit: float = 120.0) -> None:
        """Let time pass until everything that was sent on working lines has arrived."""
        for host in self.hosts.values():
            self._trace(host)
        self.settle(self.idle, limit, "everything that was sent should have arrived")

    def idle(self) -> bool:
        """Whether every live agent with a working line has registered, and no line carries data any more.

        That includes the last data of dead agents.
        """
        if self.disk is not None and not (self.disk.idle and self._all_continued()):
            return False
        return all(
            self._host_idle(host) if host.agent is not None and host.wire.plugged else host.wire.drained()
            for host in self.hosts.values()
        )

    def _all_continued(self) -> bool:
        """Whether each session has continued with its exchanges, or has ended, since the hub was killed. Those of hosts that
        cannot be reached do not count."""
        if any(client._peer.interrupted for client in self._clients):
            return False
        sessions = self.hub._requests._sessions
        if any(
            (session := sessions.numbered(Id.read(client.number).number)) is not None and session.peer.up
            for client in self.hub._exchanging.unopened
        ):
            return False
        return all(session.peer.up or session.host for session in sessions.all())

    def _host_idle(self, host: Host) -> bool:
        assert host.agent is not None
        near, far = host.agent._uplink, self.hub_peer(host)
        if not (near.up and far.up) or near.link.quiet or far.link.quiet or not host.agent.relayed.registered:
            return False
        a, b = near.link.session, far.link.session
        if a.nonce != b.peer.nonce or b.nonce != a.peer.nonce:
            return False
        return not any(
            session.outstanding or session.mux.wants(Lane.PROMPT) or session.mux.wants(Lane.BULK) for session in (a, b)
        )

    def _check(self) -> None:
        if self._failures:
            context = self._failures[0]
            message = f"{context.get('message')}: {context.get('exception')!r}\n{self.transcript()}"
            raise AssertionError(message) from context.get("exception")

    def skip(self, seconds: float) -> None:
        """Suspend the machine with the whole world for some seconds. Its lines have no faults from now on."""
        for host in self.hosts.values():
            host.wire.remove_faults()
        self.loop.skip(seconds)
        self.pass_time(2.0)

    # -- the state of the hub -----------------------------------------------------------------------------------------

    def take_events(self) -> list[tuple[str, str, str]]:
        """The hub's reports about hosts since the last call: (``up`` or ``lost``, host, cause)."""
        if self.disk is not None:
            return self.disk.take_events()
        events = self._events[:]
        self._events.clear()
        return events

    def take_ended_sessions(self) -> set[str]:
        """The hosts whose session with the hub has ended since the last call. Data in such a session is lost."""
        over, self._ended_sessions = self._ended_sessions, set()
        return over

    def has_lapsing_holds(self) -> bool:
        """Whether a lost host holds something until its lease ends."""
        status = self.status()
        owners = [row["owner"] for row in status["locks"]]
        owners += [holder for row in status["semaphores"] for holder in row["holders"]]
        return any(owner is not None and owner["lost"] for owner in owners)

    def status(self) -> dict[str, Any]:
        """The data of ``status``, as JSON."""
        return self.hub._requests._services.status(self.now).as_json()

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop everything, and check that no task is left."""
        if self.loop.is_closed():
            return
        try:
            for task in self._started:
                task.cancel()
            for host in self.hosts.values():
                if host.agent is not None:
                    self.kill_agent(host.name)
            self.run(self.hub.aclose())
            left = asyncio.all_tasks(self.loop)
            assert not left, f"tasks are left: {left}\n{self.transcript()}"
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until(None, self.now)
            for change in self._patches:
                change.stop()
            self.loop.close()

    # -- the transcript -----------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Add a line to the transcript."""
        self._log.append((self.now, text))

    def transcript(self, lines: int = 100) -> str:
        """The latest frames and notes, one per line."""
        out = [f"seed {self.seed}, {self._faults}, the last {lines} frames and notes up to {self.now:.3f} s:"]
        for now, what in list(self._log)[-lines:]:
            if isinstance(what, tuple):
                name, way, kind, body, length = what
                what = f"{name:8} {'<-' if way == 'in' else '->'} {length:4} {describe(kind, body)[:100]}"
            out.append(f"{now:10.4f} {what}")
        return "\n".join(out)
