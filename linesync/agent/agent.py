"""The agent: one line to the hub, one socket for scripts, and the commands and copies that clients start on this host."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from .. import limits, protocol
from ..errors import LinesyncError, LinesyncFailed, NotAllowed, UsageError
from ..jobs.commands.process import Runner
from ..jobs.commands.resuming import Resuming
from ..jobs.serve import Services, Tasks, addressee, answered, is_command, serve
from ..protocol import (
    Activity,
    ExchangeOpen,
    GoingDown,
    Lease,
    Links,
    Message,
    Register,
    Reply,
    Revoked,
    Run,
    operations,
)
from ..protocol.ids import NOTE
from ..runtime.channels.relay import splice
from ..runtime.channels.streams import Stream
from ..runtime.identity import BOOT
from ..runtime.listening.entrance import Entrance
from ..runtime.listening.reports import Reports
from ..runtime.peer import Peer
from ..runtime.reconnect import keep_connected
from ..runtime.user import User
from ..transports import Listener, listen
from ..wire.framing.frames import Hello
from ..workers import run_blocking
from . import shutdown
from .exchange_relay import relay_exchange
from .lease import HubLease
from .relayed import Relayed, Script

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..jobs.owners import Owners

__all__ = ["Agent"]

_TWIN_WAIT = 5.0  # seconds between attempts to register while another agent has our name
_TWIN_TRIES = 6  # the number of attempts; they take longer than the lease (20 s) of a dead agent with our name
_TO_END = 1.0  # seconds within which commands may end by themselves when the agent stops


class Agent:
    """One agent.

    :param name: the host's name.
    :param capabilities: the names of this host's capabilities.
    :param published: published values as ``K=V`` texts.
    :param report: called with sentences for the log.
    :param boot: the boot id; by default, the boot id of the process, unless the process has several agents.
    :param system: the boot id of the system; empty to send none.
    """

    def __init__(
        self,
        *,
        name: str,
        capabilities: Sequence[str] = (),
        published: Sequence[str] = (),
        report: Callable[[str], None],
        boot: str = BOOT,
        system: str = "",
    ) -> None:
        self.name = name
        self._boot = boot
        self._register = Register(
            name=name, boot=boot, capabilities=tuple(capabilities), published=tuple(published), system=system
        )
        self._report = Reports(report)
        self._uplink = Peer(_Uplink(self), "c", boot)
        self._uplink.keeping = True
        self.relayed = Relayed(self._uplink, self._after, self._own_reply, self._watching, self._report)
        self._owners: Owners | None = None
        self.lease = HubLease(self._uplink, lambda: self.relayed.has_holds, self.relayed.notify_holds_lost)
        self._scripts = _Scripts(self)
        self._endpoint = ""
        self._line: asyncio.Future[None] | None = None
        """The task that keeps the line to the hub connected."""
        self.runner = Runner(name, self._report)
        self.services = Services(self.runner, Resuming(name, lambda: self.lease.seconds))
        self._listener: Listener | None = None
        self.entrance = Entrance(f"the agent on {name}", self._report, self.relayed.idle, self._end)
        """Accepts the connections of scripts."""
        self._tasks = Tasks("the agent", self._report)
        self._commands: set[asyncio.Task[None]] = set()  # bound: serve.HOST_JOBS
        """The tasks of the commands that run on this host."""
        self._finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # -- for the process ----------------------------------------------------------------------------------------------

    async def add_listener(self, endpoint: str, *, mode: int = 0o600, group: str | None = None) -> str:
        """Open the socket for this host's scripts.

        :param mode: the permission bits of the socket.
        :param group: the Unix group of the socket, or None for the group of the process.
        :returns: the endpoint with its full path or its actual port.
        """
        self._listener = await listen(
            endpoint, lambda: self._accept().receiver(), mode=mode, group=group, door=self.entrance
        )
        self.runner.extra["LINESYNC_HUB"] = self._listener.endpoint
        return self._listener.endpoint

    async def run(self, endpoint: str, *, successors: str = "") -> None:
        """Keep the line to the hub connected until the coroutine is cancelled. With the endpoint ``stdio:``, return when the
        session is over.

        :param successors: with the endpoint ``stdio:``, the path of the socket for the lines that replace it
            (:mod:`linesync.agent.stdio_line`); empty if no line may replace it.
        :raises UsageError: the endpoint is invalid.
        :raises NotAllowed: the hub refuses this host's name.
        """
        self._endpoint = endpoint
        if endpoint == "stdio:":
            from .stdio_line import StdioLine  # few agents need it

            keeping = StdioLine(self.name, self._uplink, lambda: self.lease.seconds).run(successors)
        else:
            keeping = keep_connected(self._uplink.receiver, endpoint, self._report)
        line = self._line = asyncio.ensure_future(keeping)
        try:
            await asyncio.wait({line, self._finished}, return_when=asyncio.FIRST_COMPLETED)
            for future in (line, self._finished):
                if future.done() and not future.cancelled():
                    future.result()
        finally:
            line.cancel()
            await asyncio.gather(line, return_exceptions=True)

    async def announce_shutdown(self, goes_down: Callable[[], bool]) -> None:
        """If this system is going down, notify the hub before the goodbye. The hub then waits until this host is back.

        :param goes_down: returns whether the system is going down; it may block.
        """
        if not self.relayed.registered:
            return
        with suppress(
            TimeoutError, LinesyncError
        ):  # an older hub refuses the request; the goodbye must not wait longer
            async with asyncio.timeout(shutdown.PATIENCE):
                if await run_blocking(goes_down, "/run/systemd"):
                    self._report("the system is going down")
                    _, pending = self._uplink.ask(protocol.encode(GoingDown()))
                    await self._uplink.reply_to(pending)

    async def aclose(self, reason: str = "") -> None:
        """Stop the agent: notify the hub and the scripts, then end the commands on this host.

        The goodbye comes first, because commands may take seconds to end, and a system that goes down may kill this process
        before their end.

        :param reason: the reason as a clause; by default, that the agent was stopped.
        """
        reason = reason or f"the agent on {self.name} was stopped"
        self.lease.stop()
        self.entrance.close()
        if self._owners is not None:
            self._owners.close()
        if self._line is not None:
            self._line.cancel()  # otherwise it would open the line again
        farewell = [asyncio.ensure_future(self._uplink.aclose(reason))]
        if self._listener is not None:
            await self._listener.aclose()
        farewell += [asyncio.ensure_future(peer.aclose(reason)) for peer in list(self.entrance.peers)]
        await asyncio.sleep(0)  # lets the tasks send the goodbyes
        await self._tasks.stop(_TO_END, reason)
        await self.runner.aclose()
        await asyncio.gather(*farewell, return_exceptions=True)
        if not self._finished.done():
            self._finished.cancel()
        self._report.close()

    def _accept(self) -> Peer:
        peer = Peer(self._scripts, "l", self._boot)
        peer.replies_max = limits.SCRIPT_REPLIES_MAX
        self.entrance.enter(peer)
        return peer

    def _end(self, peer: Peer, reason: str) -> None:
        """End the session of a script, and close its connection."""
        self.entrance.leave(peer)
        peer.dismiss(reason)

    def spawn_for(self, stream: Stream, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start the task for a channel that ends at this agent or passes through it."""
        task = self._tasks.start(work)
        if is_command(operations.known_opening(stream.words), self.name):
            self._commands.add(task)
            task.add_done_callback(self._commands.discard)
        return task

    def activity(self) -> str:
        """The reply to the hub's request ``activity``: the number of commands on this host, and its scripts."""
        return protocol.encode_ok(str(len(self._commands)), *self.relayed.scripts())

    def report(self, sentence: str, *, peer: str = "") -> None:
        """Write a sentence to the log.

        :param peer: the endpoint of the peer that causes the sentence; the log limits similar sentences of one peer.
        """
        self._report(sentence, peer=peer)

    # -- registering --------------------------------------------------------------------------------------------------

    def session_up(self) -> None:
        self.relayed.registered = False
        self._tasks.start(self._register_host())

    def session_continued(self, reply: Reply) -> None:
        """The hub has restarted, and continues the session of this host."""
        self.lease.continues(reply.options.get("lease", ""))
        self._report(f"{self.name} continues its session with the hub on {self._endpoint}")
        self.relayed.continued()

    async def _register_host(self) -> None:
        for attempt in range(_TWIN_TRIES):
            try:
                _, pending = self._uplink.ask(protocol.encode(self._register))
                reply = protocol.read_reply(await self._uplink.reply_to(pending))
            except NotAllowed as error:
                self._report(error.message)
                if self.name == "hub" or attempt == _TWIN_TRIES - 1:
                    self._fail(error)
                    return
                await asyncio.sleep(_TWIN_WAIT)
                continue
            except UsageError as error:
                self._fail(error)
                return
            except LinesyncError as error:
                self._report(error.message)
                return  # the next session tries again
            self.lease.begin(reply.options.get("lease", ""))
            self._report(f"{self.name} is registered with the hub on {self._endpoint}")
            self.relayed.up()
            return

    def _fail(self, error: LinesyncError) -> None:
        if not self._finished.done():
            self._finished.set_exception(error)

    # -- channels -----------------------------------------------------------------------------------------------------

    def from_script(self, peer: Peer, stream: Stream) -> Coroutine[Any, Any, None]:
        """The work for a channel that a script opens, to this host or through the hub.

        :raises LinesyncFailed: the channel needs a hub, and there is no connection to a hub.
        """
        opening = operations.known_opening(stream.words)
        host = addressee(opening)
        script = self.relayed.script(peer)
        if isinstance(opening, ExchangeOpen):
            return relay_exchange(stream, script, self.relayed, self._uplink)
        if host and script is not None:
            return script.jobs.run(host, opening, lambda: self._job(stream, host, script))
        return self._job(stream, host, script)

    async def _job(self, stream: Stream, host: str, script: Script | None) -> None:
        """Serve a channel of a script, or join it with a channel to the hub."""
        if host == self.name:
            await serve(stream, self.services)
            return
        words = stream.words
        opening = operations.known_opening(words)
        if isinstance(opening, Run) and opening.Got is not None:
            words = await self._await_hub(stream, opening, script)
        if not (self._uplink.up and self.relayed.registered):
            raise LinesyncFailed(f"the agent on {self.name} has no connection to a hub; check the cable and the hub")
        onward = self._uplink.open(words, stream.lane)
        await self.lease.bound(lambda: splice(stream, onward))

    async def _await_hub(self, stream: Stream, opening: Run, script: Script | None) -> str:
        """A script returns to a command: wait until the session with the hub has continued. Returns the text of the opening for
        the hub.

        :raises LinesyncFailed: it has not continued within one lease.
        """
        began = stream.now()
        if script is not None and not self.relayed.ready.is_set():
            self.relayed.say_waiting(script)
        try:
            await asyncio.wait_for(self.relayed.ready.wait(), self.lease.seconds)
        except TimeoutError:
            raise LinesyncFailed(
                f"the command on {opening.to} was lost: the hub did not come back within {self.lease.seconds:g} s; it may still"
                f" be running on {opening.to}, so look there before you run it again"
            ) from None
        return protocol.encode(opening.but(age=(opening.age or 0.0) + stream.now() - began))

    def from_hub(self, stream: Stream) -> Coroutine[Any, Any, None]:
        """The work for a channel that the hub opens to this host."""
        return self.lease.bound(lambda: serve(stream, self.services))

    def _after(self, request: Message | None, reply: str) -> str:
        """Add this host's own end of the line to a reply to ``links``."""
        if isinstance(request, Links) and reply.startswith("ok "):
            rows = json.loads(protocol.read_reply(reply)[0])
            return protocol.encode_ok(json.dumps([*rows, self._own_row()]))
        return reply

    def _own_reply(self, request: Message | None) -> str | None:
        """The reply to a request that the agent answers itself, or None for other requests.

        The agent answers ``lease``. While it cannot reach a hub, it also answers ``links``, with its own end of the line.
        """
        if isinstance(request, Lease):
            return self.lease.answer()
        if isinstance(request, Links) and not self.relayed.reachable:
            return protocol.encode_ok(json.dumps([self._own_row()]))
        return None

    def _watching(self) -> Owners:
        """The object that watches the owners of namespaces. It is created when it is first needed."""
        if self._owners is None:
            from ..jobs.owners import Owners

            self._owners = Owners(self.name, self.relayed.owner_gone)
        return self._owners

    def _own_row(self) -> dict[str, Any]:
        from ..runtime.lines.link_status import link_state  # seldom needed

        return link_state(self._uplink, self._endpoint, self.name, "hub").as_json()


class _Uplink(User[Peer]):
    """Handles the events of the session with the hub."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def session_up(self, peer: Peer, hello: Hello) -> None:
        if hello.role == "c":
            self._agent.report("the other end of this line is an agent too; start 'linesync hub' there instead")
        self._agent.session_up()

    def session_down(self, peer: Peer, reason: str, restarted: bool) -> None:
        self._agent.lease.stop()
        self._agent.relayed.down()
        self._agent.report(f"the session with the hub is over: {reason}", peer="the hub")

    def session_interrupted(self, peer: Peer, reason: str) -> None:
        self._agent.relayed.interrupted()
        self._agent.report(f"the session with the hub is interrupted: {reason}", peer="the hub")

    def session_continued(self, peer: Peer, reply: Reply) -> None:
        self._agent.session_continued(reply)

    def line_quiet(self, peer: Peer, silent_for: float) -> None:
        if peer.line is not None:  # keep_connected reports the loss of the line
            self._agent.report("the hub is silent; trying to reach it")

    def line_back(self, peer: Peer) -> None:
        self._agent.report("the hub is back")

    def rate(self, peer: Peer, baud: int) -> None:
        self._agent.report(f"the line is at {baud} baud now", peer="the hub")

    def trouble(self, peer: Peer, sentence: str) -> None:
        self._agent.report(sentence, peer="the hub")

    def requests_sent(self, peer: Peer) -> None:
        self._agent.relayed.take_held_back()

    def channel(self, peer: Peer, stream: Stream) -> None:
        self._agent.spawn_for(stream, self._agent.from_hub(stream))

    def request(self, peer: Peer, number: str, text: str) -> None:
        try:
            message = operations.read(text, operations.AGENT, note=number == NOTE)
        except LinesyncError as error:
            if number != NOTE:
                peer.answer(number, protocol.encode_error(error))
            return
        if isinstance(message, Activity):
            peer.answer(number, self._agent.activity())
        elif isinstance(message, Revoked):
            self._agent.relayed.revoked(message)
        elif number != NOTE:
            refusal = LinesyncFailed(f"an agent does not answer '{message.VERB}' for the hub")
            peer.answer(number, protocol.encode_error(refusal))


class _Scripts(User[Peer]):
    """Handles the events of the scripts' connections."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def session_up(self, peer: Peer, hello: Hello) -> None:
        entrance = self._agent.entrance
        entrance.greeted(peer)
        crowded = entrance.crowded(peer, lambda: entrance.peers, entrance.places)
        if crowded:
            self._agent.report(crowded, peer="the scripts")
            asyncio.get_running_loop().call_soon(self._agent._end, peer, crowded)
            return
        self._agent.relayed.join(peer)

    def session_down(self, peer: Peer, reason: str, restarted: bool) -> None:
        self._agent.entrance.session_over(peer)
        script = self._agent.relayed.leave(peer)
        for task in list(script.tasks) if script is not None else ():
            task.cancel()

    def line_lost(self, peer: Peer, error: LinesyncError | None) -> None:
        self._agent.entrance.leave(peer)
        peer.abandon("the script is gone")

    def trouble(self, peer: Peer, sentence: str) -> None:
        label = peer.info.endpoint if peer.info is not None else "a connection"
        self._agent.report(f"{label}: {sentence}", peer=label)

    def request(self, peer: Peer, number: str, text: str) -> None:
        self._agent.relayed.take(peer, number, text)

    def holds_back(self, peer: Peer) -> bool:
        return self._agent.relayed.holds_back(peer)

    def channel(self, peer: Peer, stream: Stream) -> None:
        task = self._agent.spawn_for(stream, answered(stream, lambda stream: self._agent.from_script(peer, stream)))
        script = self._agent.relayed.script(peer)
        if script is not None:
            script.tasks.add(task)
            task.add_done_callback(script.tasks.discard)
