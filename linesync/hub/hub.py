"""The hub's process: its lines, its sessions, and the channels between them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from .. import limits, protocol
from ..errors import LinesyncError, LinesyncFailed, UsageError
from ..jobs.commands.process import Runner
from ..jobs.commands.resuming import Resuming
from ..jobs.serve import Services, Tasks, addressee, answered, is_command, serve
from ..model.decisions import HostLost, HostUp
from ..model.participants import HUB, Cause
from ..model.policy import Policy
from ..model.sync.exchange import EXCHANGE_BYTES
from ..model.sync.services import SyncServices
from ..protocol import ChangesOpen, ClientGone, ConsoleOpen, ExchangeOpen, Run, TraceOpen, operations
from ..protocol.ids import NOTE, Id
from ..runtime.channels.relay import splice
from ..runtime.channels.streams import Stream
from ..runtime.identity import BOOT
from ..runtime.lines.link_state import LinkState
from ..runtime.lines.link_status import link_state
from ..runtime.listening.entrance import Entrance
from ..runtime.listening.reports import Reports
from ..runtime.peer import Peer
from ..runtime.reconnect import keep_connected
from ..runtime.user import User
from ..transports import Listener, listen
from ..wire.framing.frames import Hello
from .access.audit import Audit
from .access.checks import Checks
from .exchange.service import Exchanging
from .look.console import ConsoleLog, escaped
from .look.watch import serve_changes, serve_console, serve_trace
from .ports import Ports
from .requests import Requests
from .returning import Returning
from .sessions import HubSession, Sessions
from .state.durable import Durable
from .state.memory import Memory
from .state.outbox import Outbox
from .state.tokens import Tokens

__all__ = ["Hub"]

_KEEP_AGENT = 600.0  # seconds after which an agent's session without a line ends
_TO_END = 1.0  # seconds within which commands on the hub may end by themselves when the hub stops


class Hub(User[Peer]):
    """One hub.

    :param lease: seconds without a valid frame after which a host is lost.
    :param report: is called with each sentence for the log.
    :param boot: the boot id of this hub; by default, the boot id of the process.
    :param tokens: the reserved fencing tokens; by default they begin at 1 and are not reserved.
    :param exchange_limit: the maximum number of bytes that one member gives to an exchange.
    :param policy: the rules of the hub; by default, the defaults of :class:`Policy`.
    :param audit: the audit log; by default, there is none.
    :param durable: stores the memory of the hub, and contains the memory of an earlier process. Sessions then continue after
        a restart. By default, nothing is stored.
    """

    def __init__(
        self,
        *,
        lease: float,
        report: Callable[[str], None],
        boot: str = BOOT,
        tokens: Tokens | None = None,
        exchange_limit: int = EXCHANGE_BYTES,
        policy: Policy | None = None,
        audit: Audit | None = None,
        durable: Durable | None = None,
    ) -> None:
        self._report = Reports(report)
        self._boot = boot
        self._durable = durable
        self._keeping = durable is not None
        if durable is not None:
            memory = durable.memory
        else:
            memory = Memory(SyncServices(lease=lease, first_token=tokens.first if tokens is not None else 1))
        memory.services.groups.hub = boot
        self._sessions = Sessions(memory, self._keeping)
        self._commands: set[asyncio.Task[None]] = set()  # bound: serve.HOST_JOBS
        """The tasks of the commands that run on the controller."""
        self._audit = audit
        self._checks = Checks(self._report, policy or Policy(), audit)
        self._requests = Requests(
            self._sessions,
            lease,
            boot,
            memory,
            Outbox(durable.commit if durable is not None else None),
            self._links,
            lambda: len(self._commands),
            self._host_changed,
            self._report,
            self._checks,
            durable,
        )
        self._requests.on_replaced = self._replaced
        self._returning = Returning(self._reachable, self._requests.absent, lease)
        self._requests.on_connected = self._returning.host_changed
        self._draining = self._requests.draining
        state = durable.state if durable is not None else None
        self._exchanging = Exchanging(self._requests, exchange_limit, self._report, state)
        self._logs: dict[str, ConsoleLog] = {}  # bound: options
        self._ports = Ports()
        self._keepers: list[asyncio.Task[None]] = []  # bound: options
        """The tasks that keep the ports open and the tokens reserved."""
        self._listeners: list[Listener] = []  # bound: options
        self._room: asyncio.Task[None] | None = None
        """The task that waits until the store accepts more commits."""
        self._tasks = Tasks("the hub", self._report)
        self._accepted = itertools.count(1)
        self._entrance = Entrance("the hub", self._report, self._idle, self._end)
        self.runner = Runner(HUB, self._report)
        self.services = Services(self.runner, Resuming(HUB, lambda: self._requests.lease))
        if tokens is not None:
            self._keepers.append(self._tasks.start(tokens.keep(self._requests.services.locks, self._report)))
        self._knows_holds = self._keeping and memory.used
        """Whether the memory contains the holds that an earlier hub granted."""
        if self._keeping:
            memory.restarted()
            self._exchanging.unopened.restore()
            self._requests.restore(self._peer)

    def set_policy(self, policy: Policy) -> None:
        """Use other rules from now on. Operations that were allowed before continue."""
        self._checks.policy = policy
        self._report(f"the policy has {len(policy.rules)} rules from now on")
        if self._audit is not None:
            self._audit.record(None, "policy", HUB, "changed", rules=[str(rule) for rule in policy.rules])

    # -- lines --------------------------------------------------------------------------------------------------------

    def add_port(self, endpoint: str) -> None:
        """Open a line and keep it open."""
        port = self._ports.add(endpoint, self._peer())
        self._keepers.append(self._tasks.start(keep_connected(port.receiver, endpoint, self._report)))

    async def add_listener(self, endpoint: str, *, mode: int = 0o600, group: str | None = None) -> str:
        """Accept lines at an endpoint.

        :param mode: the permission bits of a unix socket.
        :param group: the Unix group of a unix socket, or None for the group of the process.
        :return: the endpoint with its full path or its actual port.
        """
        listener = await listen(
            endpoint, lambda: self._accept().receiver(), mode=mode, group=group, door=self._entrance
        )
        self._listeners.append(listener)
        if listener.replaced and not self._knows_holds:
            self._requests.grant_no_holds_for_a_lease()
            self._report(
                f"hosts may still hold locks of an earlier hub; this hub grants the first locks in {self._requests.lease:g} s"
            )
        self.runner.extra.setdefault("LINESYNC_HUB", listener.endpoint)
        return listener.endpoint

    def _accept(self) -> Peer:
        peer = self._peer()
        self._entrance.enter(peer)
        return peer

    def _peer(self) -> Peer:
        peer = Peer(self, "l", self._boot)
        peer.keeping = self._keeping
        return peer

    @property
    def _peers(self) -> set[Peer]:
        """The peers of all lines."""
        return self._entrance.peers | {port.peer for port in self._ports}

    def _label(self, peer: Peer) -> str:
        """The label of a line: its endpoint, with a number if the endpoint accepts several lines."""
        endpoint = self._ports.endpoint(peer)
        if endpoint is not None:
            return endpoint
        return f"{peer.info.endpoint if peer.info else 'line'}#{next(self._accepted)}"

    def _log_of(self, label: str) -> ConsoleLog:
        return self._logs.setdefault(label, ConsoleLog())

    async def aclose(self, reason: str = "the hub was stopped", *, keep: bool = False) -> None:
        """Stop the hub: notify all sessions and close all lines, then end the commands that run on the controller.

        :param keep: do not end the sessions, because the next hub continues them.
        """
        self._entrance.close()
        try:
            if self.drained:
                await self._hand_over()
        finally:
            await self._close(reason, keep)

    @property
    def drained(self) -> bool:
        """Whether the hub was drained. :meth:`aclose` of a drained hub also closes the store."""
        return self._draining.over

    def on_drained(self, stop: Callable[[], None]) -> None:
        """Set the function that is called when the hub is drained and must be closed."""
        self._draining.on_over = stop

    async def _hand_over(self) -> None:
        """Close the sockets and the store, so that the next hub can start, and then answer the requests for the drain."""
        self._exchanging.suspend()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._requests.outbox.stored(), _TO_END)
        self._requests.stop()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            await listener.aclose(leave=self._requests.holds)
        if self._durable is not None:
            await self._durable.close()
        await self._draining.confirm()

    async def _close(self, reason: str, keep: bool) -> None:
        leave = self._requests.holds  # the socket files show the next hub that it must wait for a lease
        if keep:
            self._requests.stop()
            for peer in self._peers:
                if peer.line is not None:
                    peer.line.close()
        else:
            with suppress(TimeoutError):  # the disk may be full
                await asyncio.wait_for(self._requests.outbox.stored(), _TO_END)
            self._requests.end_all(reason)
            self._requests.stop()
        for keeper in self._keepers:
            keeper.cancel()  # otherwise this task would open its line again
        farewell = {peer: asyncio.ensure_future(peer.aclose(reason)) for peer in list(self._peers)}
        for listener in self._listeners:
            await listener.aclose(leave=leave)
        farewell |= {peer: asyncio.ensure_future(peer.aclose(reason)) for peer in self._peers - farewell.keys()}
        await asyncio.sleep(0)  # lets the tasks send the goodbyes
        await self._tasks.stop(_TO_END, reason)
        await self.runner.aclose()
        self._exchanging.close()
        await asyncio.gather(*farewell.values(), return_exceptions=True)
        self._report.close()

    # -- events of peers ----------------------------------------------------------------------------------------------

    def session_up(self, peer: Peer, hello: Hello) -> None:
        session = self._sessions.begin(peer, self._label(peer))
        self._sessions.remember(peer)
        if peer not in self._ports:
            self._entrance.greeted(peer)
            self._admit(session)

    def _admit(self, session: HubSession) -> None:
        """Check whether a new session on an accepted line may be a script.

        If all places for scripts are taken, the session may only register a host.
        """
        places, entered = self._entrance.places, self._entrance.peers
        script_places = places - int(places * limits.AGENTS_ONLY)
        crowded = self._entrance.crowded(session.peer, lambda: self._sessions.scripts_among(entered), script_places)
        full = len(entered) > script_places and len(self._sessions.scripts_among(entered)) > script_places
        if not (crowded or full) or self._entrance.make_room():
            return
        session.refusal = crowded or (
            f"the hub has no place for another script ({script_places} of {script_places} are taken, and"
            f" {places - script_places} are reserved for agents); end some scripts, or try again later"
        )
        self._report(session.refusal, peer=session.endpoint, burst=1)
        session.give_up = asyncio.get_running_loop().call_later(limits.HANDSHAKE, self._turn_away, session)

    def _turn_away(self, session: HubSession) -> None:
        if not session.host:
            self._end(session.peer, "the hub has no place for another script")

    def _end(self, peer: Peer, reason: str) -> None:
        """End the session of an accepted line, and close the line."""
        self._entrance.leave(peer)
        peer.dismiss(reason)

    def _idle(self, peer: Peer) -> bool:
        """Whether an accepted peer does not need its place.

        This applies to a script without waits and holds, and to an agent without a line whose host is lost.
        """
        session = self._sessions.of(peer)
        if session is None:
            return False
        if session.host:
            return peer.line is None and self._requests.absent(session.host) is not None
        return not session.tasks and not self._requests.services.keeps_for(session.client(""))

    def session_down(self, peer: Peer, reason: str, restarted: bool) -> None:
        session = self._sessions.end(peer)
        if session is None:
            return
        self._entrance.session_over(peer)
        for task in list(session.tasks):
            task.cancel(f"{session.host or 'the script'} is gone: {reason}")
        self._requests.session_over(session, Cause.RESTARTED if restarted else Cause.STOPPED, reason)

    def line_lost(self, peer: Peer, error: LinesyncError | None) -> None:
        session = self._sessions.of(peer)
        if session is None:
            self._entrance.leave(peer)
            return
        why = error.message if error is not None else "closed at the other end"
        self._requests.line_lost(session, why)
        if peer in self._ports:
            return
        if session.host:
            session.give_up = asyncio.get_running_loop().call_later(_KEEP_AGENT, self._give_up, peer, why)
        else:
            session.cut = peer.info is not None and peer.info.kind != "unix"
            self._give_up(peer, why)  # a script does not continue its session

    def _give_up(self, peer: Peer, why: str) -> None:
        """End a session that has waited for a line for too long."""
        self._entrance.leave(peer)
        peer.abandon(why)

    def line_back(self, peer: Peer) -> None:
        session = self._sessions.of(peer)
        if session is not None:
            if session.give_up is not None:
                session.give_up.cancel()
                session.give_up = None
            self._requests.line_back(session)

    def line_quiet(self, peer: Peer, silent_for: float) -> None:
        session = self._sessions.of(peer)
        if session is not None and session.host and peer.line is not None:
            self._report(f"{session.host} is silent on {session.line}; waiting for it", peer=session.host)

    def resume_asked(self, peer: Peer, hello: Hello) -> Peer | None:
        known = self._sessions.known(hello.peer, hello.nonce)
        session = self._sessions.of(known) if known is not None else None
        if known is not None and session is not None and known is not peer:
            session.move(self._label(peer))
            self._entrance.replace(peer, known)
            self._ports.swap(peer, known)
        return known

    def console_text(self, peer: Peer, data: bytes, noise: bool) -> None:
        label = self._ports.endpoint(peer)
        if label is not None:
            self._log_of(label).add(escaped(data) if noise else data)

    def trouble(self, peer: Peer, sentence: str) -> None:
        label = self._ports.endpoint(peer) or (peer.info.endpoint if peer.info else "a line")
        self._report(f"{label}: {sentence}", peer=label)

    def rate(self, peer: Peer, baud: int) -> None:
        self.trouble(peer, f"the line is at {baud} baud now")

    def request(self, peer: Peer, number: str, text: str) -> None:
        session = self._sessions.of(peer)
        if session is not None and not self.drained:  # otherwise the peer sends the request to the next hub
            self._requests.take(session, number, text)

    def holds_back(self, peer: Peer) -> bool:
        """Whether requests must wait, because too many bytes wait for the disk."""
        if self._durable is None or not self._durable.congested:
            return False
        if self._room is None or self._room.done():
            self._room = self._tasks.start(self._take_when_stored(self._durable))
        return True

    async def _take_when_stored(self, durable: Durable) -> None:
        """Wait until the store accepts more commits, and then handle the requests that wait."""
        await durable.room()
        for peer in list(self._peers):
            peer.take_requests()

    def sender(self, number: str, text: str) -> str:
        """The number of the script that sent a request through its agent. A note refers to a request of its sender."""
        script = Id.read(number).script
        if not script:
            with suppress(LinesyncError):  # a malformed request or note is refused when it is handled
                message = operations.read(text, operations.HUB, note=number == NOTE)
                named = getattr(message, "request", "")
                return message.client if isinstance(message, ClientGone) else Id.read(named).script
        return script

    def held_back(self, peer: Peer, number: str, text: str) -> None:
        """If a waiting note reports the end of a script, answer the waiting requests of that script.

        The requests of other scripts of the same agent then wait for a shorter time.
        """
        session = self._sessions.of(peer)
        if session is None or not session.host:
            return
        with suppress(LinesyncError):  # a malformed request or note is refused when it is handled
            note = operations.read(text, operations.HUB, note=number == NOTE)
            if isinstance(note, ClientGone):
                ended_scripts = protocol.encode_error(LinesyncFailed("the script is gone"))
                for dropped in peer.drop_requests(lambda number: Id.read(number).script == note.client):
                    self._requests.answer(session, dropped, ended_scripts)

    # -- channels -----------------------------------------------------------------------------------------------------

    def channel(self, peer: Peer, stream: Stream) -> None:
        session = self._sessions.of(peer)
        if session is None or self.drained:
            return
        task = self._tasks.start(answered(stream, lambda stream: self._channel_work(session, stream)))
        session.spawn(task)
        opening = operations.known_opening(stream.words)
        if not (isinstance(opening, ExchangeOpen) and opening.arrival and session.keeping):  # the next hub continues it
            self._draining.watch(task, opening)
        if is_command(operations.known_opening(stream.words), HUB):
            self._commands.add(task)
            task.add_done_callback(self._commands.discard)

    def _channel_work(self, session: HubSession, stream: Stream) -> Coroutine[Any, Any, None]:
        opening = operations.read_opening(stream.words)
        self._checks.check(session, "", opening)
        host = addressee(opening)
        if host:
            returns = opening if isinstance(opening, Run) and opening.Got is not None else None
            if returns is None:
                self._draining.refuse()
            done = self._job(stream, host, returns)
            # The limit for one script does not apply to an agent, which forwards the channels of many scripts.
            return done() if session.host else session.jobs.run(host, opening, done)
        if isinstance(opening, ExchangeOpen):
            return self._exchanging.serve(session, stream)
        if isinstance(opening, ConsoleOpen):
            label, peer = self._line_of(opening.host)
            return serve_console(stream, opening, self._log_of(label), peer)
        if isinstance(opening, ChangesOpen):
            return serve_changes(stream, self._requests.changes)
        assert isinstance(opening, TraceOpen)
        return serve_trace(stream, self._line_of(opening.host)[1])

    def _job(self, stream: Stream, host: str, returns: Run | None) -> Callable[[], Coroutine[Any, Any, None]]:
        """The function that starts the work for a channel to a host.

        :param returns: the opening, if a client returns to a command after this hub has started.
        """
        if host == HUB:
            return lambda: serve(stream, self.services)
        if returns is not None:
            return lambda: self._return(stream, returns)
        target = self._reachable(host)
        return lambda: self._relay(stream, target)

    async def _return(self, stream: Stream, opening: Run) -> None:
        await self._relay(stream, *await self._returning.wait(stream, opening))

    async def _relay(self, stream: Stream, target: HubSession, words: str = "") -> None:
        onward = target.peer.open(words or stream.words, stream.lane)
        task = asyncio.current_task()
        assert task is not None
        target.spawn(task)  # the task ends when one of the two hosts is lost
        await splice(stream, onward)

    def _reachable(self, host: str) -> HubSession:
        session = self._sessions.host(host)
        absent = self._requests.absent(host)
        if session is None or absent is not None or not session.peer.up:
            names = ", ".join(known.name for known in self._requests.hosts(0.0) if known.state != "lost")
            why = (
                f"it is lost ({absent})"
                if absent not in (None, Cause.NEVER_SEEN)
                else "no agent with this name has registered"
            )
            raise LinesyncFailed(f"there is no host {host}: {why}; hosts now: {names or 'none'}")
        return session

    def _line_of(self, name: str) -> tuple[str, Peer]:
        """The label of a line and its peer, for the name of a host or of a port."""
        session = self._sessions.host(name)
        if session is not None:
            return session.line, session.peer
        for port in self._ports:
            if name in (port.endpoint, port.endpoint.partition(",")[0]):
                return port.endpoint, port.peer
        hosts = [session.host for session in self._sessions.all() if session.host]
        known = ", ".join([*hosts, *(port.endpoint for port in self._ports)])
        raise UsageError(f"there is no host or port {name}; there are: {known or 'none'}")

    # -- hosts --------------------------------------------------------------------------------------------------------

    def _host_changed(self, event: HostUp | HostLost) -> None:
        self._returning.host_changed()
        if isinstance(event, HostUp):
            session = self._sessions.host(event.host)
            line = f" on {session.line}" if session is not None else ""
            again = f" ({event.again})" if event.again else ""
            self._report(f"host {event.host} is {'back' if event.resumed else 'up'}{line}{again}", peer=event.host)
            return
        self._report(f"host {event.host} is lost: {event.cause} ({event.why})", peer=event.host)
        session = self._sessions.numbered(event.session)  # by number, because the host may have another session now
        if session is not None:
            self._draining.end(session, f"host {event.host} is lost")
            for task in list(session.tasks):
                task.cancel(f"host {event.host} is lost: {event.cause} ({event.why})")

    def _replaced(self, session: HubSession) -> None:
        """End the old session of a host that has begun another session. Its line may be lost without a goodbye."""
        if session.peer not in self._ports:
            reason = f"the agent on {session.host} has begun another session"
            asyncio.get_running_loop().call_soon(self._end, session.peer, reason)

    def _links(self) -> list[LinkState]:
        found = []
        for peer in self._peers:
            session = self._sessions.of(peer)
            label = session.line if session else self._ports.endpoint(peer) or (peer.info.endpoint if peer.info else "")
            found.append(link_state(peer, label, HUB, session.host if session else ""))
        return sorted(found, key=lambda link: (link.kind, link.line))
