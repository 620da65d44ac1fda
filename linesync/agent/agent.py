"""The agent: one line to the hub, one socket for scripts, and the jobs that others run on this host."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from .. import limits, protocol
from ..errors import LinesyncError, LinesyncFailed, NotAllowed, UsageError
from ..jobs.process import Runner
from ..jobs.resuming import Resuming
from ..jobs.serve import HOST_JOBS, Jobs, addressee, answered, is_command, serve, stop
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
from ..runtime.conversation import Conversation, User
from ..runtime.identity import BOOT
from ..runtime.listening.entrance import Entrance
from ..runtime.listening.reports import Reports
from ..runtime.peer import Peer
from ..runtime.reconnect import keep_connected
from ..runtime.relay import splice
from ..runtime.streams import Stream
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
_TO_END = 1.0  # seconds that commands have to end by themselves when the agent stops
_TWIN_TRIES = 6  # attempts; enough for the lease (20 s) of a dead agent with our name to expire


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
        """Keeps the line to the hub connected."""
        self.runner = Runner(name, self._report)
        self.jobs = Jobs(HOST_JOBS, "all scripts together")
        """The jobs of this host for others."""
        self.resuming = Resuming(name, lambda: self.lease.seconds)
        self._listener: Listener | None = None
        self.entrance = Entrance(f"the agent on {name}", self._report, self.relayed.idle, self._end)
        """The connections of scripts."""
        self._tasks: set[asyncio.Task[None]] = set()  # bound: limits.CHANNELS, limits.SESSIONS
        self._commands: set[asyncio.Task[None]] = set()  # bound: serve.HOST_JOBS
        """The tasks of the commands that run here for others."""
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

    async def run(self, endpoint: str, *, once: bool = False) -> None:
        """Keep the line to the hub connected until this is cancelled.

        :param once: return when the line ends, as an agent at the remote end of an ssh does.
        :raises UsageError: the endpoint is invalid.
        :raises NotAllowed: the hub refuses this host's name.
        """
        self._endpoint = endpoint
        line = self._line = asyncio.ensure_future(keep_connected(self._uplink, endpoint, self._report, once=once))
        try:
            await asyncio.wait({line, self._finished}, return_when=asyncio.FIRST_COMPLETED)
            for future in (line, self._finished):
                if future.done() and not future.cancelled():
                    future.result()
        finally:
            line.cancel()
            await asyncio.gather(line, return_exceptions=True)

    async def announce_shutdown(self, goes_down: Callable[[], bool]) -> None:
        """If this system is going down, notify the hub before the goodbye, so that it waits for this host to come back.

        :param goes_down: whether the system is going down; it may block.
        """
        if not self.relayed.registered:
            return
        with suppress(TimeoutError, LinesyncError):  # an older hub refuses it; the goodbye must not wait for longer
            async with asyncio.timeout(shutdown.PATIENCE):
                if await run_blocking(goes_down, "/run/systemd"):
                    self._report("the system is going down")
                    _, pending = self._uplink.ask(protocol.encode(GoingDown()))
                    await self._uplink.reply_to(pending)

    async def aclose(self, reason: str = "") -> None:
        """Stop: notify the hub and the scripts, then end the commands that run for others.

        The goodbye comes first. Commands may take seconds to end, and a machine that is shut down may kill us before that.

        :param reason: why, as a clause; by default, that the agent was stopped.
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
        await asyncio.sleep(0)  # the goodbyes are on their way
        await stop(self._tasks, _TO_END, reason)
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

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._commands.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, LinesyncError):
            self._report(str(error))
        elif error is not None:
            task.get_loop().call_exception_handler({"message": "a task of the agent failed", "exception": error})

    def spawn_for(self, stream: Stream, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start the task for a channel that was opened to or through this agent."""
        task = self.spawn(work)
        if is_command(operations.known_opening(stream.words), self.name):
            self._commands.add(task)
        return task

    def activity(self) -> str:
        """The reply to the hub's request for activity on this host: the number of commands, and the scripts."""
        return protocol.encode_ok(str(len(self._commands)), *self.relayed.scripts())

    def report(self, sentence: str, *, peer: str = "") -> None:
        """Write to the log.

        :param peer: the endpoint of the peer that decides how often this is reported.
        """
        self._report(sentence, peer=peer)

    # -- registering --------------------------------------------------------------------------------------------------

    def session_up(self) -> None:
        self.relayed.registered = False
        self.spawn(self._register_host())

    def session_continued(self, reply: Reply) -> None:
        """The hub has restarted, and knows this host."""
        self.lease.begin(reply.options.get("lease", ""))
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

    def from_script(self, peer: Conversation, stream: Stream) -> Coroutine[Any, Any, None]:
        """A script opens a channel, to this host or through the hub.

        :raises LinesyncFailed: the channel needs a hub, and there is none.
        """
        opening = operations.known_opening(stream.words)
        host = addressee(opening)
        script = self.relayed.script(peer)
        if isinstance(opening, ExchangeOpen):
            return relay_exchange(stream, script, self.relayed, self._uplink)
        if host and script is not None:
            return script.jobs.run(host, lambda: self._job(stream, host, script))
        return self._job(stream, host, script)

    async def _job(self, stream: Stream, host: str, script: Script | None) -> None:
        """Serve a channel of a script, or join it with one to the hub."""
        if host == self.name:
            await serve(stream, self.runner, self.jobs, self.resuming)
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
        """The hub opens a channel to this host."""
        return self.lease.bound(lambda: serve(stream, self.runner, self.jobs, self.resuming))

    def _after(self, request: Message | None, reply: str) -> str:
        """Add this host's own end of the line to a reply to ``links``."""
        if isinstance(request, Links) and reply.startswith("ok "):
            rows = json.loads(protocol.read_reply(reply)[0])
            return protocol.encode_ok(json.dumps([*rows, self._own_row()]))
        return reply

    def _own_reply(self, request: Message | None) -> str | None:
        """The reply to a request that we answer ourselves: ``lease``, and ``links`` while there is no hub (the reply is then
        only our own end of the line). None for other requests."""
        if isinstance(request, Lease):
            return self.lease.answer()
        if isinstance(request, Links) and not self.relayed.reachable:
            return protocol.encode_ok(json.dumps([self._own_row()]))
        return None

    def _watching(self) -> Owners:
        """The object that watches the owners of namespaces; it is made when it is first needed."""
        if self._owners is None:
            from ..jobs.owners import Owners

            self._owners = Owners(self.name, self.relayed.owner_gone)
        return self._owners

    def _own_row(self) -> dict[str, Any]:
        from ..runtime.lines.link_status import link_state  # seldom needed

        return link_state(self._uplink, self._endpoint, self.name, "hub").as_json()


class _Uplink(User):
    """Handles the events of the session with the hub."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def session_up(self, peer: Conversation, hello: Hello) -> None:
        if hello.role == "c":
            self._agent.report("the other end of this line is an agent too; start 'linesync hub' there instead")
        self._agent.session_up()

    def session_down(self, peer: Conversation, reason: str, restarted: bool) -> None:
        self._agent.lease.stop()
        self._agent.relayed.down()
        self._agent.report(f"the session with the hub is over: {reason}", peer="the hub")

    def session_interrupted(self, peer: Conversation, reason: str) -> None:
        self._agent.relayed.interrupted()
        self._agent.report(f"the session with the hub is interrupted: {reason}", peer="the hub")

    def session_continued(self, peer: Conversation, reply: Reply) -> None:
        self._agent.session_continued(reply)

    def line_quiet(self, peer: Conversation, silent_for: float) -> None:
        assert isinstance(peer, Peer)
        if peer.line is not None:  # the loss of the line is reported by itself
            self._agent.report("the hub is silent; trying to reach it")

    def line_back(self, peer: Conversation) -> None:
        self._agent.report("the hub is back")

    def rate(self, peer: Conversation, baud: int) -> None:
        self._agent.report(f"the line is at {baud} baud now", peer="the hub")

    def trouble(self, peer: Conversation, sentence: str) -> None:
        self._agent.report(sentence, peer="the hub")

    def requests_sent(self, peer: Conversation) -> None:
        self._agent.relayed.take_held_back()

    def channel(self, peer: Conversation, stream: Stream) -> None:
        self._agent.spawn_for(stream, self._agent.from_hub(stream))

    def request(self, peer: Conversation, number: str, text: str) -> None:
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


class _Scripts(User):
    """Handles the events of the scripts' connections."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def session_up(self, peer: Conversation, hello: Hello) -> None:
        assert isinstance(peer, Peer)
        entrance = self._agent.entrance
        entrance.greeted(peer)
        crowded = entrance.crowded(peer, lambda: entrance.peers, entrance.places)
        if crowded:
            self._agent.report(crowded, peer="the scripts")
            asyncio.get_running_loop().call_soon(self._agent._end, peer, crowded)
            return
        self._agent.relayed.join(peer)

    def session_down(self, peer: Conversation, reason: str, restarted: bool) -> None:
        assert isinstance(peer, Peer)
        self._agent.entrance.session_over(peer)
        script = self._agent.relayed.leave(peer)
        for task in list(script.tasks) if script is not None else ():
            task.cancel()

    def line_lost(self, peer: Conversation, error: LinesyncError | None) -> None:
        assert isinstance(peer, Peer)
        self._agent.entrance.leave(peer)
        peer.abandon("the script is gone")

    def trouble(self, peer: Conversation, sentence: str) -> None:
        assert isinstance(peer, Peer)
        where = peer.info.endpoint if peer.info is not None else "a connection"
        self._agent.report(f"{where}: {sentence}", peer=where)

    def request(self, peer: Conversation, number: str, text: str) -> None:
        self._agent.relayed.take(peer, number, text)

    def holds_back(self, peer: Conversation) -> bool:
        return self._agent.relayed.holds_back(peer)

    def channel(self, peer: Conversation, stream: Stream) -> None:
        task = self._agent.spawn_for(stream, answered(stream, lambda stream: self._agent.from_script(peer, stream)))
        script = self._agent.relayed.script(peer)
        if script is not None:
            script.tasks.add(task)
            task.add_done_callback(script.tasks.discard)
