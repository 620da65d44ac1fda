"""How the hub handles requests: the model decides, and its outcomes become replies."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable

from .. import limits, protocol
from ..errors import LinesyncError, LinesyncFailed, NotAllowed, UsageError
from ..jobs.owners import Owners
from ..model.decisions import Event, Failed, Granted, HostLost, HostUp, Outcome, Revoked
from ..model.participants import HUB, Cause, Client
from ..model.policy import Policy
from ..model.state.hosts import HostState
from ..model.state.status import ClientState, Status
from ..model.sync import deadlock
from ..model.sync.namespaces import Owner
from ..model.sync.services import SyncServices
from ..protocol import (
    Message,
    operations,
)
from ..protocol.ids import NOTE, Id
from ..runtime.lines.link_state import LinkState
from ..runtime.listening.reports import Report
from ..runtime.peer import Peer
from ..store.state import NotStored
from .changes import Changes
from .dispatch import ARRIVALS, granted
from .draining import Draining
from .durable import Durable
from .handlers import HANDLERS, Asked
from .memory import Memory
from .outbox import Outbox
from .sessions import HubSession, Sessions

__all__ = ["Requests"]

_STALL = (
    5.0  # if the hub itself is late by this many seconds (or a quarter of a lease), messages of hosts may be unread
)
_TICK = 1.0
_LAST = (
    1.0  # seconds after the lease when a session whose peer did not connect again ends; its host is lost before that
)
_RESTARTED = "the hub has restarted"
_REPEATS = 16  # most requests that repeat one arrival and wait for its outcome
_ASK_AT = 0.45  # share of a lease without a frame after which the hub asks; keepalives are enough for 20 s, not for 2 s


class Requests:
    """The hub's requests and replies.

    :param boot: the hub's boot id.
    :param memory: the data that the hub keeps over a restart.
    :param outbox: sends the messages of the hub.
    :param links: returns the state of each line.
    :param commands: returns the number of commands that the hub itself runs for others.
    :param on_host: is called for each host that comes up or is lost.
    :param report: is called with each sentence for the log.
    :param policy: the rules of the hub; by default, everything is allowed.
    :param durable: stores the memory; by default, nothing is stored.
    """

    def __init__(
        self,
        sessions: Sessions,
        lease: float,
        boot: str,
        memory: Memory,
        outbox: Outbox,
        links: Callable[[], list[LinkState]],
        commands: Callable[[], int],
        on_host: Callable[[HostUp | HostLost], None],
        report: Report,
        policy: Policy | None = None,
        durable: Durable | None = None,
    ) -> None:
        self.policy = policy or Policy()
        self.report = report
        self._sessions = sessions
        self.memory = memory
        self._services = memory.services
        self.outbox = outbox
        self._durable = durable
        self._offset = durable.offset if durable is not None else 0.0
        self.lease = lease
        self._tick = min(_TICK, lease / 4)
        self._boot = boot
        self.links = links
        self._commands = commands
        self.owners = Owners(HUB, self._owner_gone)
        self._on_host = on_host
        self._waiting: dict[tuple[str, str], list[tuple[HubSession, str]]] = {}  # bound: waits.WAITS, requests._REPEATS
        """(host, arrival) to the requests that wait for its outcome: the first one and its retries."""
        self.on_outcome: dict[tuple[str, str], Callable[[Outcome], None]] = {}  # bound: waits.WAITS
        """(host, arrival) to the receiver of its outcome, for arrivals that are not requests."""
        self.on_replaced: Callable[[HubSession], None] = lambda session: None
        self.on_connected: Callable[[], None] = lambda: None
        """Called when a host continues its session."""
        """Called with the earlier session of a host that has begun another one."""
        self.changes = Changes()
        self.draining = Draining(self.answer, self._ends_with_hub, report)
        self._asked: Asked | None = None
        """The request that is being handled."""
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._stopped = False
        self._ticked = self.now()

    def now(self) -> float:
        """The time of the model: the time of the event loop, or one that continues when the hub or its machine restarts."""
        return self._loop.time() + self._offset

    # -- requests -----------------------------------------------------------------------------------------------------

    def take(self, session: HubSession, number: str, text: str) -> None:
        """Handle a request or a note that has arrived."""
        session.forget_arrived()
        keep = False
        try:
            message = operations.read(text, operations.HUB, note=number == NOTE)
            asked = self._asked = Asked(session, number, Id.read(number), message, self.now())
            self.check(asked.session, asked.id.script, message)
            if type(message) in _NEED_ROOM:
                self._check_room()
            if operations.operation(message).work and type(message) not in ARRIVALS:
                self.draining.refuse()
            keep = operations.changes(message)
            reply = self._do(asked)
            if reply is None and operations.operation(message).numbered:
                reply = protocol.encode_ok()
        except LinesyncError as error:
            reply = protocol.encode_error(error)
            keep = keep and not isinstance(error, NotStored)
        except Exception as error:  # after an internal error, the client must still get an answer
            fault = LinesyncFailed(f"internal error of the hub ({error!r}); see its log, and report the error")
            reply = protocol.encode_error(fault)
            self._forget(lambda asker, asked: asker is session and asked == number)
            who = session.principal(number.partition(".")[2])
            self._loop.call_exception_handler({"message": f"the request {text!r} of {who} failed", "exception": error})
        if reply is not None and number != NOTE:
            self.answer(session, number, reply, keep=keep)
        self._finish()

    def answer(self, session: HubSession, number: str, text: str, *, keep: bool = True) -> None:
        """Send a reply, or a note with the number of notes. All messages of the hub on channel 0 pass through here.

        :param keep: the peer cannot ask again, so it gets this again if it continues the session.
        """
        session.kept.closed(number)
        if keep and session.keeping:
            reply_number = session.kept.add_reply(number, text)
            self.outbox.put(lambda: session.send(reply_number))
        elif not keep and self._durable is not None and self._durable.refusal:
            session.peer.answer(number, text)  # the outbox may wait for a long time for space on the disk
        else:
            self.outbox.put(lambda: session.peer.answer(number, text))

    def check(self, session: HubSession, script: str, message: Message) -> None:
        """Refuse a message that its sender may not send or has no permission for, and report that.

        :param script: the number of the script behind an agent; empty for the peer itself.
        :raises NotAllowed: with the reason.
        :raises LinesyncFailed: the hub has no place for another script.
        :raises UsageError: it names something of another client.
        """
        try:
            if isinstance(message, protocol.Register) and not script:
                self._check_register(session, message)
            elif isinstance(message, protocol.Continue) and not script:
                self._check_continue(session)
            else:
                self._check(session, script, message)
        except LinesyncError as error:
            self._refused(session, script, message, error)
            raise

    def _check(self, session: HubSession, script: str, message: Message) -> None:
        if script and not session.host:
            raise NotAllowed("this agent has not registered with the hub; see its log for the reason")
        if session.refusal and not session.host:
            raise LinesyncFailed(session.refusal)
        operations.check_sender(message, session.sender(script))
        _check_named(script, message)
        if self.policy:
            permission = operations.operation(message).permission
            self.policy.check(session.principal(script), permission, message.VERB)
        session.acted = True

    def _check_register(self, session: HubSession, message: protocol.Register) -> None:
        """A session registers one name, before anything else and only once."""
        if session.host:
            raise NotAllowed(
                f"this session has registered the host {session.host} already; it cannot register {message.name} too, so"
                " start another agent for that host"
            )
        if session.acted:
            raise NotAllowed(
                f"this session has made requests as a script, so it cannot register the host {message.name}; start an agent"
                " for that host"
            )

    @staticmethod
    def _check_continue(session: HubSession) -> None:
        """Only the first request of a session continues another one."""
        if session.host or session.acted:
            raise NotAllowed("'continue' is not allowed here: it comes before all other requests of a session")

    def _refused(self, session: HubSession, script: str, message: Message, error: LinesyncError) -> None:
        """Report a message that was refused, with its sender."""
        if not session.refusal:  # that was reported once for the session
            sender = session.principal(script)
            self.report(f"refused '{message.VERB}' from {sender}: {error.message}", peer=session.endpoint)

    def _do(self, asked: Asked) -> str | None:
        """Handle a message; returns the reply, or None if it comes later or never."""
        arrives = ARRIVALS.get(type(asked.message))
        if arrives is None:
            return HANDLERS[type(asked.message)](self, asked)
        session, number = asked.session, asked.number
        self._hear_of(session)
        arrival = session.arrival(number, str(asked.message.arrival))
        client = asked.client
        self.check_arrival(asked.message.ns, arrival, client)
        key = client.host, arrival
        waiting = self._waiting.setdefault(key, [])
        if len(waiting) >= _REPEATS:
            raise LinesyncFailed(
                f"{_REPEATS} requests with the arrival id {arrival} wait already; wait for their outcome, or use another id"
            )
        waiting.append((session, number))
        if session.keeping:
            session.kept.opened(number, arrival)
        try:
            outcomes = arrives(self.services, asked.message, arrival, client, asked.now)
        except UsageError:
            waiting.remove((session, number))
            if not waiting:
                del self._waiting[key]
            raise
        self.tell(outcomes)
        return None

    def check_arrival(self, namespace: str, arrival: str, client: Client, *, runs: bool = False) -> None:
        """Refuse a new arrival that the hub cannot store, or in a namespace that has ended, or during a drain. A retry still
        gets its outcome.

        :param runs: it joins something that a drain waits for.
        :raises LinesyncFailed: the hub is being drained.
        :raises NotStored: the hub's disk is full.
        :raises Aborted: the namespace has ended.
        """
        if not self._services.knows(arrival, client):
            self._check_room()
            if not runs:
                self.draining.refuse()
        self._services.check_namespace(namespace, arrival, client)

    def _check_room(self) -> None:
        if self._durable is not None and self._durable.refusal:
            raise NotStored(self._durable.refusal)

    def register(self, session: HubSession, message: protocol.Register, now: float) -> str:
        """Register a host; returns the reply."""
        published = {}
        for item in message.published:
            key, equals, value = item.partition("=")
            if not equals:
                raise UsageError(f"invalid published value {item!r}: expected K=V")
            published[key] = value
        try:
            events = self._services.register(
                message.name,
                session.id,
                message.boot,
                session.line,
                now,
                capabilities=message.capabilities,
                published=published,
                system=message.system,
            )
        except LinesyncError as error:
            self._refused(session, "", message, error)
            raise
        earlier = self._sessions.name(session, message.name)
        self.tell(events)
        if earlier is not None:
            self.on_replaced(earlier)
        return protocol.encode_ok(self._boot, lease=self.lease_option)

    @property
    def lease_option(self) -> str:
        """The lease in seconds, as an option of a reply; empty if it is the usual one."""
        return "" if self.lease == limits.LEASE else f"{self.lease:g}"

    # -- after a restart of the hub -----------------------------------------------------------------------------------

    def restore(self, peer: Callable[[], Peer]) -> None:
        """Make the sessions that the hub remembers from an earlier life. Their peers have one lease to connect again.

        :param peer: makes a peer without a line.
        """
        now = self.now()
        self._services.extend_all(now)
        for session in self._sessions.restore(peer):
            for number, arrival in session.kept.open.items():
                key = session.client("").host, arrival
                self._waiting.setdefault(key, []).append((session, number))
            session.give_up = self._loop.call_later(
                max(self.lease, limits.LEASE) + _LAST,
                session.peer.abandon,
                "its peer did not connect again after the hub restarted",
            )
        for host in self._services.hosts(now):
            self._services.line_lost(host.name, host.session, _RESTARTED)
        self._end_forgotten(now)
        self._finish()

    def _end_forgotten(self, now: float) -> None:
        """End everything that ended with the earlier hub process: scripts that cannot continue, owners of namespaces, and the
        channels of exchanges."""
        clients = list(self._services.waits_by_client())
        for owner in self._services.namespaces.owners():
            if owner.pid and owner.host == HUB:
                self._watch(owner)
            elif not owner.pid:
                clients.append(owner.client)
        for client in clients:
            id_ = Id.read(client.number)
            if id_.script.startswith("x"):  # an exchange, whose channel and data are gone
                for arrival in self._services.arrivals_of(client):
                    self.tell(self._services.exchanges.cannot_keep(arrival, client, _RESTARTED, now))
            elif client.host == HUB and self._sessions.numbered(id_.number) is None:
                self.tell(self._services.client_gone(client, now, Cause.CLIENT_GONE, _RESTARTED))
        self._services.exchanges.forget_data()

    def _watch(self, owner: Owner) -> None:
        """Watch a process on this machine that owns a namespace."""
        try:
            self.owners.watch(owner.pid, owner.begin)
        except LinesyncError:  # it has ended in the meantime
            self._owner_gone(owner.pid, owner.begin)

    def resume(self, session: HubSession, message: protocol.Continue) -> str:
        """Continue an earlier session; returns the reply."""
        old = self._sessions.named(message.hub, message.own)
        if old is None:
            raise LinesyncFailed("the hub does not know this session: it has ended; begin again")
        if old.kept.uid != session.kept.uid:
            raise NotAllowed("the session belongs to another user, so this script cannot continue it")
        self._sessions.resume(old, session)
        if old.host:
            self.tell(self._services.line_back(old.host, old.id, old.line, self.now()))
            self.on_connected()
        for reply_number in list(old.kept.replies):
            self.outbox.put(lambda reply_number=reply_number: old.send(reply_number))  # type: ignore[misc]
        return protocol.encode_ok(old.id, *old.kept.open, lease=self.lease_option)

    # -- outcomes -----------------------------------------------------------------------------------------------------

    def tell(self, events: Iterable[Event | Outcome]) -> None:
        """Send the decisions of the model to the clients that they concern."""
        silent: dict[str, HostLost] = {}
        for event in events:
            if isinstance(event, HostUp | HostLost):
                self._on_host(event)
                if isinstance(event, HostLost) and event.cause is Cause.RESTARTED:
                    self._end_replaced(event)
                if isinstance(event, HostLost) and event.cause is Cause.LINE_LOST:
                    silent[event.host] = event
            elif isinstance(event, Revoked):
                self._revoke(event)
            elif not self._reply(event) and isinstance(event, Failed) and event.client.host in silent:
                self._break_off(silent[event.client.host])
        for host in self._services.take_asked():
            self._ask(host)

    @property
    def services(self) -> SyncServices:
        """The services, for callers that only read their state."""
        return self._services

    def perform(self, work: Callable[[SyncServices, float], Iterable[Event]]) -> None:
        """Run a call of the services now, and send its outcomes."""
        self.tell(work(self._services, self.now()))
        self._finish()

    def _owner_gone(self, pid: int, begin: str) -> None:
        """A process on the hub's machine that may own namespaces has ended."""
        self.perform(lambda services, now: services.owner_gone(HUB, pid, begin, now))

    def _revoke(self, event: Revoked) -> None:
        client = Id.read(event.client.number)
        session = self._sessions.numbered(client.number)
        if session is not None:
            note = protocol.Revoked(client=client.script or NOTE, arrival=event.arrival, why=event.why)
            self.answer(session, NOTE, protocol.encode(note))

    def _break_off(self, lost: HostLost) -> None:
        """End the session of a lost host that had not confirmed a grant. The grant was returned, and another client may have
        it now. So the reply with the grant must not reach the host when its line is back."""
        session = self._sessions.host(lost.host)
        if session is not None and session.id == lost.session:
            # Later, after all outcomes of the loss were sent.
            self._loop.call_soon(self._end_session, session, f"host {lost.host} was lost: {lost.why}")

    def _end_replaced(self, lost: HostLost) -> None:
        """Another agent has the name of a host whose session was not continued since the hub restarted."""
        session = self._sessions.numbered(lost.session)
        if session is not None and not session.peer.up:
            self._loop.call_soon(session.peer.abandon, lost.why)

    @staticmethod
    def _end_session(session: HubSession, why: str) -> None:
        if session.peer.up:
            session.peer.end_session(why)
        else:
            session.peer.abandon(why)  # it has not come back since the hub restarted
            if session.peer.line is not None:
                session.peer.line.close()  # its bytes belong to a link that is gone; a port opens it again

    def _reply(self, outcome: Granted | Failed) -> bool:
        """Send an outcome to all requests that wait for it; returns whether there were any."""
        listener = self.on_outcome.get((outcome.client.host, outcome.arrival))
        if listener is not None:
            listener(outcome)
        provisional = isinstance(outcome, Granted) and outcome.provisional
        text = protocol.encode_error(outcome.error) if isinstance(outcome, Failed) else granted(outcome)
        waiting = self._waiting.pop((outcome.client.host, outcome.arrival), [])
        for session, number in waiting:
            if not provisional and outcome.arrival == session.arrival(number, ""):
                # A retry is only possible with an arrival id, so without one the result need not be kept.
                self._services.confirm(outcome.arrival, outcome.client)
            self.answer(session, number, text)
        return bool(waiting) or listener is not None

    def _forget(self, gone: Callable[[HubSession, str], bool]) -> None:
        """Forget the requests whose replies are no longer needed."""
        for asked in self._waiting.values():
            for session, number in asked:
                if gone(session, number):
                    session.kept.closed(number)
        left = {key: [one for one in asked if not gone(*one)] for key, asked in self._waiting.items()}
        self._waiting = {key: asked for key, asked in left.items() if asked}

    # -- who is active where ------------------------------------------------------------------------------------------

    def _ask(self, host: str) -> None:
        """Ask a host whether it is alive, and which of its clients may act."""
        if host == HUB:
            scripts = [session for session in self._sessions.all() if not session.host]
            activity = deadlock.Activity(
                self._commands(),
                frozenset(session.id for session in scripts if session.concurrent or not session.exchanges),
                frozenset(session.id for session in scripts if session.concurrent),
            )
            # Later, because the code that asks has not finished.
            self._loop.call_soon(self._answered, host, activity)
            return
        session = self._sessions.host(host)
        # A question that was not answered is not repeated: the session delivers it, so another one would only wait as well.
        if session is not None and session.peer.up and not session.questioned:
            session.questioned = True
            session.peer.ask(
                protocol.encode(protocol.Activity()), lambda reply: self._take_activity(session, host, reply)
            )

    def _take_activity(self, session: HubSession, host: str, reply: str | LinesyncError) -> None:
        session.questioned = False
        if isinstance(reply, LinesyncError):
            return
        try:
            commands, *scripts = protocol.read_reply(reply)
            numbers = [session.client(script.rstrip("*")).number for script in scripts]
            concurrent = {number for number, script in zip(numbers, scripts, strict=True) if script.endswith("*")}
            activity = deadlock.Activity(int(commands), frozenset(numbers), frozenset(concurrent))
        except (LinesyncError, ValueError):
            activity = deadlock.Activity(commands=1)  # an older agent: it is alive, and any client may be active there
        self._hear_of(session)
        self._answered(host, activity)

    def _answered(self, host: str, activity: deadlock.Activity) -> None:
        self.tell(self._services.answered(host, activity, self.now()))
        self._finish()

    # -- sessions and timers ------------------------------------------------------------------------------------------

    def session_over(self, session: HubSession, cause: Cause, why: str) -> None:
        """A session has ended: end everything that its host and its scripts wait for."""
        now = self.now()
        self.draining.end(session, f"its client is gone ({why})")
        if session.host:
            if cause is not Cause.RESTARTED and self._services.absent(session.host) is None:
                self._hear_of(session)  # the hub takes its holds back one lease after this
            self.tell(self._services.ended(session.host, session.id, cause, why, now))
        lease_end = now + self.lease if session.cut else now
        self.tell(self._services.client_gone(session.client(""), now, Cause.CLIENT_GONE, why, lease_end=lease_end))
        self._forget(lambda asker, _: asker is session)
        self._finish()

    def line_lost(self, session: HubSession, why: str) -> None:
        if session.host:
            self._services.line_lost(session.host, session.id, why)

    def line_back(self, session: HubSession) -> None:
        if session.host:
            self.tell(self._services.line_back(session.host, session.id, session.line, self.now()))
            self._finish()

    def grant_no_holds_for_a_lease(self) -> None:
        """Hosts may still have holds from an earlier hub that this hub does not know."""
        self._services.grant_no_holds_before(self.now() + self.lease)
        self._set_timer()

    @property
    def holds(self) -> bool:
        """Whether anything is held."""
        return self._services.holds

    def hosts(self, now: float) -> tuple[HostState, ...]:
        """The state of each host."""
        self._hear(now)
        return self._services.hosts(now)

    def status(self, now: float) -> Status:
        """The state of the services, and their clients."""
        return self._services.status(now, self._clients()).but(drain=self.draining.in_words)

    def _ends_with_hub(self) -> list[str]:
        """The waits and holds that the next hub cannot continue, by their clients, and what cannot be stored now."""
        why = "this hub stores no state" if self._durable is None else "its linesync cannot continue its session"
        found = []
        for client, count in self._services.waits_by_client().items():
            id_ = Id.read(client.number)
            session = self._sessions.numbered(id_.number)
            exchange = id_.script.startswith("x")  # a drain waits for its channel
            if not exchange and (session is None or not session.keeping):
                things = "1 wait or hold" if count == 1 else f"{count} waits and holds"
                found.append(f"{things} of {client.principal}, which would be lost ({why})")
        if self._durable is not None and self._durable.refusal:
            found.append("room on the disk")
        return found

    def _clients(self) -> list[ClientState]:
        """Each agent, and each script that waits for something or holds something."""
        waits = self._services.waits_by_client()
        found = []
        for session in self._sessions.all():
            scripts = [Id.read(client.number) for client in waits if client.host == (session.host or HUB)]
            for script in ["", *(one.script for one in scripts if one.number == session.id and one.script)]:
                client, principal = session.client(script), session.principal(script)
                if not session.host and client not in waits:
                    continue
                found.append(
                    ClientState(
                        client=client.number,
                        host=principal.host,
                        script=principal.script,
                        uid=principal.uid,
                        line=principal.line,
                        waits=waits.get(client, 0),
                    )
                )
        return found

    def absent(self, host: str) -> Cause | None:
        """Why a host cannot be reached; None while it is alive."""
        return self._services.absent(host)

    def tick(self) -> None:
        """Check all sessions and all deadlines; called each second and when a deadline is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self.now()
        if now - self._ticked > self._tick + min(_STALL, self.lease / 4):
            self._services.extend_all(now)
        self._ticked = now
        self._hear(now)
        self.tell(self._services.handle_timer(now))
        self._finish()

    def _hear(self, now: float) -> None:
        """Renew the lease of each host that was heard since the last check."""
        for session in self._sessions.all():
            self._hear_of(session)
            session.forget_arrived()
            link = session.peer.link
            if session.host and link is not None and self._loop.time() - link.heard_at > self.lease * _ASK_AT:
                session.peer.ask_alive()

    def _hear_of(self, session: HubSession) -> None:
        link = session.peer.link
        if session.host and link is not None and link.heard_at > session.heard_at:
            session.heard_at = link.heard_at
            self.tell(self._services.heard(session.host, session.id, link.heard_at + self._offset))

    def _finish(self) -> None:
        """After each call of the services: pass on the changes, and set the timer."""
        self.draining.changed()
        self.outbox.changed()
        noted, asked = self._services.take_noted(), self._asked
        self._asked = None
        if noted:
            client = asked.client if asked is not None else None
            self.outbox.put(lambda: self.changes.add(noted, client))
        self._set_timer()

    def _set_timer(self) -> None:
        if self._stopped:
            return
        when = min(self._services.next_timer() or float("inf"), self._ticked + self._tick)
        if self._timer is not None:
            if self._timer_at <= when:
                return  # a check that is too early costs less than a new timer with each request
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(max(when - self._offset, self._loop.time()), self.tick), when

    def end_all(self, why: str) -> None:
        """End everything that the sessions wait for or hold. The peers are notified by the goodbye. A script that misses it
        gets its replies from the next hub process."""
        for session in self._sessions.all():
            if session.keeping and session.host:
                self._sessions.end(session.peer)
            if session.keeping or session.host:
                self.session_over(session, Cause.STOPPED, why)

    def stop(self) -> None:
        self.owners.close()
        self.outbox.close()
        self.draining.close()
        self._stopped = True
        for session in self._sessions.all():
            if session.give_up is not None:
                session.give_up.cancel()
        if self._timer is not None:
            self._timer.cancel()


_NEED_ROOM = (protocol.Reset, protocol.NamespaceBegin, protocol.NamespaceEnd)
"""The requests that are refused while the disk is full, besides new arrivals. Other requests end
something, so they wait for space on the disk."""
_OF_THE_HUB = re.compile(r"[0-9]+/.*")
"""The ids of arrivals that the hub names itself: the session, and the request."""


def _check_named(script: str, message: Message) -> None:
    """Refuse a message that names a request or an arrival of another client.

    :param script: the number of the script behind an agent that sent it. An agent speaks for all of its scripts.
    """
    named = getattr(message, "arrival", "")
    if named and _OF_THE_HUB.fullmatch(named):
        raise UsageError(
            f"invalid arrival id '{named}': ids of digits and a slash belong to the hub; choose another one"
        )
    request = getattr(message, "request", "")
    if script and request and Id.read(request).script != script:
        raise NotAllowed(f"request {request} belongs to another client; name a request of your own")
