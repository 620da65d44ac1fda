"""Handles the requests of all sessions: passes them to the model, and sends the decisions of the model as replies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from .. import limits, protocol
from ..errors import LinesyncError, LinesyncFailed, NotAllowed, UsageError
from ..jobs.owners import Owners
from ..model.decisions import Event, Failed, Granted, HostLost, HostUp, Outcome, Revoked
from ..model.participants import HUB, Cause, Client
from ..model.policy import Policy
from ..model.state.hosts import HostState
from ..model.state.status import Status
from ..model.sync.deadlock import Activity
from ..model.sync.namespaces import Owner
from ..model.sync.services import SyncServices
from ..protocol import operations
from ..protocol.ids import NOTE, Id
from ..runtime.lines.link_state import LinkState
from ..runtime.listening.reports import Report
from ..runtime.peer import Peer
from ..store.state import NotStored
from .access.checks import Checks
from .clients import client_states, ends_with_hub
from .dispatch import ARRIVALS, granted
from .draining import Draining
from .handlers import HANDLERS, Asked
from .look.activity import Questions
from .look.changes import Changes
from .sessions import HubSession, Sessions
from .state.durable import Durable
from .state.memory import Memory
from .state.outbox import Outbox
from .ticks import Ticks
from .waiting import Waiting

__all__ = ["Requests"]

_LAST = 1.0  # seconds from the end of a lease to the end of a restored session; the host of the session is lost before
_RESTARTED = "the hub has restarted"
_ASK_AT = 0.45  # share of a lease without a frame after which the hub asks a host; needed if keepalives are too rare


class Requests:
    """Handles requests, and sends replies.

    :param lease: the lease of the hosts in seconds.
    :param boot: the hub's boot id.
    :param memory: the data that the hub keeps when it restarts.
    :param outbox: sends the messages of the hub.
    :param links: returns the state of each line.
    :param commands: returns the number of commands that run on the controller.
    :param on_host: is called for each host that comes up or is lost.
    :param report: is called with each sentence for the log.
    :param checks: the checks of the hub.
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
        checks: Checks,
        durable: Durable | None = None,
    ) -> None:
        self._checks = checks
        self.report = report
        self._sessions = sessions
        self.memory = memory
        self._services = memory.services
        self.outbox = outbox
        self._durable = durable
        self.lease = lease
        self._ticks = Ticks(lease, durable.offset if durable is not None else 0.0, self._tick)
        self._boot = boot
        self.links = links
        self.owners = Owners(HUB, self._owner_gone)
        self._on_host = on_host
        self._waiting = Waiting()
        self._questions = Questions(sessions, commands, self._answered)
        self.on_outcome: dict[tuple[str, str], Callable[[Outcome], None]] = {}  # bound: waits.WAITS
        """For arrivals that are not requests: (host, arrival id) to the function that gets the outcome."""
        self.on_replaced: Callable[[HubSession], None] = lambda session: None
        """Called with the old session of a host that has begun another session."""
        self.on_connected: Callable[[], None] = lambda: None
        """Called when a host continues its session."""
        self.on_continued: Callable[[HubSession], None] = lambda session: None
        """Called with a session that has continued after a restart of the hub."""
        self.on_session_over: Callable[[HubSession], None] = lambda session: None
        """Called with a session that has ended."""
        self.changes = Changes()
        self.draining = Draining(self.answer, lambda: ends_with_hub(self._services, sessions, durable), report)
        self._asked: Asked | None = None
        """The request that is being handled."""
        self._loop = asyncio.get_running_loop()

    @property
    def policy(self) -> Policy:
        """The rules of the hub."""
        return self._checks.policy

    def now(self) -> float:
        """The time of the model."""
        return self._ticks.now()

    # -- requests -----------------------------------------------------------------------------------------------------

    def take(self, session: HubSession, number: str, text: str) -> None:
        """Handle a request or a note of a session."""
        session.forget_arrived()
        keep = False
        try:
            message = operations.read(text, operations.HUB, note=number == NOTE)
            asked = self._asked = Asked(session, number, Id.read(number), message, self.now())
            self._checks.check(asked.session, asked.id.script, message)
            if type(message) in _NEED_ROOM:
                self._check_room()
            if operations.operation(message).work and type(message) not in ARRIVALS:
                self.draining.refuse()
            keep = operations.changes(message)
            reply = self._do(asked)
            if reply is not None and len(reply) > _REPLY_MAX:
                raise LinesyncFailed(
                    f"the reply to '{message.VERB}' would have {len(reply):,} bytes, and a message at most {_REPLY_MAX:,};"
                    " ask for less, for example for one group"
                )
            if reply is None and operations.operation(message).numbered:
                reply = protocol.encode_ok()
        except LinesyncError as error:
            reply = protocol.encode_error(error)
            keep = keep and not isinstance(error, NotStored)
        except Exception as error:  # after an internal error, the client must still get an answer
            fault = LinesyncFailed(f"internal error of the hub ({error!r}); see its log, and report the error")
            reply = protocol.encode_error(fault)
            self._waiting.forget(lambda asker, asked: asker is session and asked == number)
            sender = session.principal(number.partition(".")[2])
            self._loop.call_exception_handler(
                {"message": f"the request {text!r} of {sender} failed", "exception": error}
            )
        if reply is not None and number != NOTE:
            self.answer(session, number, reply, keep=keep)
        self._finish()

    def answer(self, session: HubSession, number: str, text: str, *, keep: bool = True) -> None:
        """Send a reply or a note. All messages of the hub on channel 0 pass through this method.

        :param number: the id of the request; ``-`` for a note.
        :param keep: whether the hub keeps the message and sends it again if the peer continues the session.
        """
        session.kept.closed(number)
        if keep and session.keeping:
            reply_number = session.kept.add_reply(number, text)
            self.outbox.put(lambda: session.send(reply_number))
        elif not keep and self._durable is not None and self._durable.refusal:
            session.peer.answer(number, text)  # the outbox may wait for a long time for space on the disk
        else:
            self.outbox.put(lambda: session.peer.answer(number, text))

    def _do(self, asked: Asked) -> str | None:
        """Handle a message. Returns the reply, or None if the reply follows later or the message is a note."""
        arrives = ARRIVALS.get(type(asked.message))
        if arrives is None:
            return HANDLERS[type(asked.message)](self, asked)
        session, number = asked.session, asked.number
        self._hear_of(session)
        arrival = session.arrival(number, str(getattr(asked.message, "arrival", "")))
        client = asked.client
        if operations.operation(asked.message).work:
            self.check_arrival(asked.message.ns, arrival, client)
        self._waiting.add(session, number, client, arrival)
        try:
            outcomes = arrives(self.services, asked.message, arrival, client, asked.now)
        except LinesyncError:
            self._waiting.remove(session, number, client, arrival)
            raise
        self.tell(outcomes)
        return None

    def check_arrival(self, namespace: str, arrival: str, client: Client, *, runs: bool = False) -> None:
        """Refuse a new arrival if the hub cannot store it, if its namespace has ended, or during a drain. A retry of an
        earlier arrival is accepted.

        :param runs: whether the arrival belongs to work for whose end a drain waits. It is then accepted during a drain.
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
        """Register a host. Returns the reply."""
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
            self._checks.refused(session, "", message, error)
            raise
        earlier = self._sessions.name(session, message.name)
        self.tell(events)
        if earlier is not None:
            self.on_replaced(earlier)
        return protocol.encode_ok(self._boot, lease=self.lease_option)

    @property
    def lease_option(self) -> str:
        """The lease in seconds, as an option of a reply; empty if it is the default lease."""
        return "" if self.lease == limits.LEASE else f"{self.lease:g}"

    # -- after a restart of the hub -----------------------------------------------------------------------------------

    def restore(self, peer: Callable[[], Peer]) -> None:
        """Restore the stored sessions after a restart of the hub. Their peers have one lease to connect again.

        :param peer: makes a peer without a line.
        """
        now = self.now()
        self._services.extend_all(now)
        for session in self._sessions.restore(peer):
            self._waiting.restore(session)
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
        """End the clients that ended with the earlier hub process: scripts that cannot continue, and the owners of
        namespaces and tests."""
        clients = list(self._services.waits_by_client())
        for owner in [*self._services.namespaces.owners(), *self._services.testbus.owners()]:
            if owner.pid and owner.host == HUB:
                self._watch(owner)
            elif not owner.pid:
                clients.append(owner.client)
        members = self._services.groups.clients()
        gone = [
            one for one in members if one.host == HUB and self._sessions.numbered(Id.read(one.number).number) is None
        ]
        self.tell(self._services.groups.clients_gone(gone, f"{Cause.CLIENT_GONE}: {_RESTARTED}", now))
        for client in clients:
            if client.host == HUB and self._sessions.numbered(Id.read(client.number).number) is None:
                self.tell(self._services.client_gone(client, now, Cause.CLIENT_GONE, _RESTARTED))

    def _watch(self, owner: Owner) -> None:
        """Watch a process on this machine that owns a namespace or a test."""
        try:
            self.owners.watch(owner.pid, owner.begin)
        except LinesyncError:  # the process has ended in the meantime
            self._owner_gone(owner.pid, owner.begin)

    def resume(self, session: HubSession, message: protocol.Continue) -> str:
        """Continue an earlier session in a new link session. Returns the reply."""
        old = self._sessions.named(message.hub, message.own)
        if old is None:
            raise LinesyncFailed("the hub does not know this session: it has ended; begin again")
        if old.kept.uid != session.kept.uid:
            raise NotAllowed("the session belongs to another user, so this script cannot continue it")
        self._sessions.resume(old, session)
        if old.host:
            self.tell(self._services.line_back(old.host, old.id, old.line, self.now()))
            self.on_connected()
        self.on_continued(old)
        for reply_number in list(old.kept.replies):
            self.outbox.put(lambda reply_number=reply_number: old.send(reply_number))  # type: ignore[misc]
        return protocol.encode_ok(old.id, *old.kept.open, lease=self.lease_option)

    # -- outcomes -----------------------------------------------------------------------------------------------------

    def tell(self, events: Iterable[Event | Outcome]) -> None:
        """Carry out decisions of the model, and send the outcomes to their clients."""
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
            self._questions.ask(host)

    @property
    def services(self) -> SyncServices:
        """The services, for callers that only read their state."""
        return self._services

    def perform(self, work: Callable[[SyncServices, float], Iterable[Event]]) -> None:
        """Run a call of the services now, and send its outcomes."""
        self.tell(work(self._services, self.now()))
        self._finish()

    def _owner_gone(self, pid: int, begin: str) -> None:
        """Handle the end of a process on the controller that may own namespaces."""
        self.perform(lambda services, now: services.owner_gone(HUB, pid, begin, now))

    def _revoke(self, event: Revoked) -> None:
        client = Id.read(event.client.number)
        session = self._sessions.numbered(client.number)
        if session is not None:
            note = protocol.Revoked(client=client.script or NOTE, arrival=event.arrival, why=event.why)
            self.answer(session, NOTE, protocol.encode(note))

    def _break_off(self, lost: HostLost) -> None:
        """End the session of a lost host that had not confirmed a grant.

        The grant was returned, and another client may have the unit or the lock now. The reply with the grant must therefore
        not reach the host when its line returns.
        """
        session = self._sessions.host(lost.host)
        if session is not None and session.id == lost.session:
            # End the session later, after all outcomes of the loss were sent.
            self._loop.call_soon(self._end_session, session, f"host {lost.host} was lost: {lost.why}")

    def _end_replaced(self, lost: HostLost) -> None:
        """End a stored session that was not continued after a restart of the hub, because another agent has its host name."""
        session = self._sessions.numbered(lost.session)
        if session is not None and not session.peer.up:
            self._loop.call_soon(session.peer.abandon, lost.why)

    @staticmethod
    def _end_session(session: HubSession, why: str) -> None:
        if session.peer.up:
            session.peer.end_session(why)
        else:
            session.peer.abandon(why)  # the peer has not connected again since the hub restarted
            if session.peer.line is not None:
                session.peer.line.close()  # a port opens the line again, with a new link

    def _reply(self, outcome: Granted | Failed) -> bool:
        """Send an outcome to all requests that wait for it. Returns whether there were such requests."""
        listener = self.on_outcome.get((outcome.client.host, outcome.arrival))
        if listener is not None:
            listener(outcome)
        provisional = isinstance(outcome, Granted) and outcome.provisional
        text = protocol.encode_error(outcome.error) if isinstance(outcome, Failed) else granted(outcome)
        waiting = self._waiting.take(outcome.client, outcome.arrival)
        for session, number in waiting:
            if not provisional and outcome.arrival == session.arrival(number, ""):
                # Without an arrival id, a retry is not possible, so the model does not need to keep the result.
                self._services.confirm(outcome.arrival, outcome.client)
            self.answer(session, number, text)
        return bool(waiting) or listener is not None

    def _answered(self, host: str, activity: Activity) -> None:
        """Pass the answer of a host to the request ``activity`` to the model."""
        session = self._sessions.host(host)
        if session is not None:
            self._hear_of(session)
        self.perform(lambda services, now: services.answered(host, activity, now))

    # -- sessions and timers ------------------------------------------------------------------------------------------

    def session_over(self, session: HubSession, cause: Cause, why: str) -> None:
        """Handle the end of a session: end the waits and holds of its host and its scripts."""
        now = self.now()
        self.draining.end(session, f"its client is gone ({why})")
        if session.host:
            if cause is not Cause.RESTARTED and self._services.absent(session.host) is None:
                self._hear_of(session)  # the hub takes the holds of the host back one lease after this time
            self.tell(self._services.ended(session.host, session.id, cause, why, now))
        lease_end = now + self.lease if session.cut else now
        self.tell(self._services.client_gone(session.client(""), now, Cause.CLIENT_GONE, why, lease_end=lease_end))
        self.on_session_over(session)
        self._waiting.forget(lambda asker, _: asker is session)
        self._finish()

    def line_lost(self, session: HubSession, why: str) -> None:
        if session.host:
            self._services.line_lost(session.host, session.id, why)

    def line_back(self, session: HubSession) -> None:
        if session.host:
            self.tell(self._services.line_back(session.host, session.id, session.line, self.now()))
            self._finish()

    def grant_no_holds_for_a_lease(self) -> None:
        """Grant no locks and no held units for one lease, because hosts may still have holds from an earlier hub."""
        self._services.grant_no_holds_before(self.now() + self.lease)
        self._ticks.set(self._services.next_timer())

    @property
    def holds(self) -> bool:
        """Whether any client has a hold."""
        return self._services.holds

    def hosts(self, now: float) -> tuple[HostState, ...]:
        """The state of each host."""
        self._hear(now)
        return self._services.hosts(now)

    def status(self, now: float) -> Status:
        """The state of all barriers, locks and so on, and of the clients."""
        return self._services.status(now, client_states(self._services, self._sessions)).but(
            drain=self.draining.in_words
        )

    def absent(self, host: str) -> Cause | None:
        """The reason why a host cannot be reached; None while it is alive."""
        return self._services.absent(host)

    def _tick(self, now: float, late: bool) -> None:
        """Check all sessions and all deadlines.

        :param late: whether the hub did not run for some time, so that messages of hosts may be unread.
        """
        if late:
            self._services.extend_all(now)
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
            self.tell(self._services.heard(session.host, session.id, link.heard_at + self._ticks.offset))

    def _finish(self) -> None:
        """Publish the changes and set the timer. Every call of the services must be followed by this."""
        self.draining.changed()
        self.outbox.changed()
        noted, asked = self._services.take_noted(), self._asked
        self._asked = None
        if noted:
            client = asked.client if asked is not None else None
            self.outbox.put(lambda: self.changes.add(noted, client))
        self._ticks.set(self._services.next_timer())

    def end_all(self, why: str) -> None:
        """End all waits and holds of the sessions. The goodbye notifies the peers. A script that does not get the goodbye gets
        its replies from the next hub process."""
        for session in self._sessions.all():
            if session.keeping and session.host:
                self._sessions.end(session.peer)
            if session.keeping or session.host:
                self.session_over(session, Cause.STOPPED, why)

    def stop(self) -> None:
        self.owners.close()
        self.outbox.close()
        self.draining.close()
        self._ticks.stop()
        for session in self._sessions.all():
            if session.give_up is not None:
                session.give_up.cancel()


_REPLY_MAX = limits.MESSAGE_MAX - 64  # the id of the request needs some bytes

_NEED_ROOM = (
    protocol.Reset,
    protocol.NamespaceBegin,
    protocol.NamespaceEnd,
    protocol.GroupJoin,
    protocol.GroupRerun,
)
"""The requests that are refused while the disk is full, in addition to new arrivals. Other requests end waits or holds. They
are accepted, and their replies wait for space on the disk."""
