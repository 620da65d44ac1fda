"""Relays the requests of this host's scripts to the hub.

Each request has two ids. The script chooses the *script's request id*. The agent chooses the *hub's request id*, which
identifies the request in the session with the hub. A confirmation or withdrawal of a script contains the script's request id,
and the agent replaces it by the hub's request id. If the deadline of a request passes while there is no line, the agent
answers the request, and withdraws it at the hub when the line is connected again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from .. import protocol
from ..errors import LinesyncError, LinesyncFailed, NotAllowed, NotSent, Unanswered
from ..jobs.serve import CONNECTIONS, JOBS, Jobs
from ..protocol import (
    Commit,
    Concurrent,
    Confirm,
    GroupJoin,
    Message,
    NamespaceBegin,
    Note,
    OwnerGone,
    Register,
    Revoked,
    Withdraw,
    operations,
)
from ..protocol.ids import NOTE, Id
from ..protocol.operations import decode_request, grant_goes_back, is_hold, never_sent, operation, unanswered
from ..runtime.conversation import Conversation
from ..runtime.listening.reports import Report
from ..runtime.peer import Peer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..jobs.owners import Owners

__all__ = ["GRACE", "Relayed", "Script", "no_reply_reason"]

GRACE = 2.0  # seconds after a request's deadline in which the hub's answer may still arrive
_REPLY_TIME = 10.0  # seconds after which the agent answers a request that does not wait for other hosts
_GRANT_RETURNED = "the session with the hub has ended, so the hub took the grant back; repeat the request"
_NOT_A_HUB = (
    "'register' is not allowed here: an agent listens on this socket for its scripts, not for other agents; start the agent that"
    " was refused with a --port that leads to a hub"
)
_QUEUE_MAX = 1 << 20  # if more bytes of requests than this wait for a session, the scripts' requests are held back
_REMEMBERED = 1000
"""The most answered requests of one script for which the agent keeps the hub's request id. A commit or a confirmation needs
it."""


class _Request:
    """One request of a script."""

    __slots__ = ("answered", "hub_id", "message", "script", "script_id", "text", "timer")

    def __init__(self, script: Script, script_id: str, text: str) -> None:
        self.script = script
        self.script_id = script_id
        """The script's request id."""
        self.text = text
        self.message = decode_request(text)
        """The decoded request; None if it is invalid, so that the hub will refuse it."""
        self.hub_id = ""
        """The hub's request id; empty while the request waits for a session."""
        self.timer: asyncio.TimerHandle | None = None
        self.answered = False


class Script:
    """One script's connection."""

    def __init__(self, peer: Conversation, number: int) -> None:
        self.peer = peer
        self.number = number
        self.concurrent = False
        """Whether the script can do several operations at the same time."""
        self.exchanges = 0
        """The number of exchanges in which it waits."""
        self.has_hold = False
        """Whether the script has a hold, as far as the agent knows: a hold was granted, and no hold was lost since then."""
        self.hub_may_hold = False
        """Whether the hub may still keep a namespace, a member or a hold for this script. Then the agent notifies the hub when
        the script ends. It stays True until the session with the hub ends, even when the agent counts the holds as lost."""
        self.uncommitted: set[str] = set()  # bound: relayed._REMEMBERED
        """The script's request ids of the grants that are not committed yet."""
        self.tasks: set[asyncio.Task[None]] = set()  # bound: limits.CHANNELS
        self.jobs = Jobs(JOBS, CONNECTIONS, "this script")
        """The commands and copies of this script on hosts, with their limit."""
        self.requests: dict[str, _Request] = {}  # bound: waits.WAITS_PER_CLIENT, relayed._QUEUE_MAX
        """The requests of the script without an answer, by the script's request id."""
        self.granted: OrderedDict[str, str] = OrderedDict()  # bound: relayed._REMEMBERED
        """The requests of the script that succeeded and are not committed or confirmed yet: the script's request id to the
        hub's request id."""


def no_reply_reason(waited: float) -> str:
    """The reason why a script gets no reply, as a clause.

    :param waited: the seconds that the agent has waited for the hub.
    """
    return f"no answer from the hub in {waited:g} s, so the line is down or there is no hub at its other end"


class Relayed:
    """All scripts and their requests.

    :param uplink: the session with the hub.
    :param after: a function of a request and its reply; returns the reply for the script.
    :param answer_locally: returns the reply to a request that the agent answers itself, or None.
    :param owners: returns the object that watches the processes of this machine that own a namespace.
    :param report: writes to the log.
    """

    def __init__(
        self,
        uplink: Peer,
        after: Callable[[Message | None, str], str],
        answer_locally: Callable[[Message | None], str | None],
        owners: Callable[[], Owners],
        report: Report,
    ) -> None:
        self._owners = owners
        self._uplink = uplink
        self._report = report
        self._after = after
        self._answer_locally = answer_locally
        self._queue: list[_Request] = []  # bound: relayed._QUEUE_MAX
        """Requests that wait for a session with the hub."""
        self._queued = 0
        """The size of these requests in bytes."""
        self._held_back: dict[Conversation, None] = {}  # bound: limits.SESSIONS
        """The scripts whose requests are held back until the hub has received more of the earlier requests."""
        self._scripts: dict[Conversation, Script] = {}  # bound: limits.SESSIONS
        self._count = 0
        self.registered = False
        self.ready = asyncio.Event()
        """Set while this host is registered with the hub."""
        self._loop = asyncio.get_running_loop()

    # -- scripts connect and end --------------------------------------------------------------------------------------

    def join(self, peer: Conversation) -> Script:
        self._count += 1
        script = Script(peer, self._count)
        self._scripts[peer] = script
        return script

    def script(self, peer: Conversation) -> Script | None:
        return self._scripts.get(peer)

    def leave(self, peer: Conversation) -> Script | None:
        """Handle the end of a script. The hub withdraws its requests."""
        script = self._scripts.pop(peer, None)
        if script is None:
            return None
        for request in script.requests.values():
            self._settle(request)
        for request in [request for request in self._queue if request.script is script]:
            self._unqueue(request)
        self._held_back.pop(peer, None)
        hub_knows_script = script.requests or script.uncommitted or script.hub_may_hold
        if hub_knows_script:  # without a session, the hub does not know this script, and the note is dropped
            self._uplink.tell(protocol.encode(protocol.ClientGone(client=str(script.number))))
        return script

    def idle(self, peer: Conversation) -> bool:
        """Whether a script has no request, no hold, no namespace and no running task."""
        script = self._scripts.get(peer)
        return script is not None and not (script.requests or script.uncommitted or script.hub_may_hold or script.tasks)

    def scripts(self) -> list[str]:
        """The numbers of the scripts that may act. A ``*`` marks a script that can do several operations at the same time.

        A script that waits in an exchange is omitted, because the exchange has its own number.
        """
        return [
            f"{script.number}*" if script.concurrent else str(script.number)
            for script in self._scripts.values()
            if script.concurrent or not script.exchanges
        ]

    # -- requests -----------------------------------------------------------------------------------------------------

    def take(self, peer: Conversation, script_id: str, text: str) -> None:
        """Handle a request or a note of a script."""
        script = self._scripts.get(peer)
        if script is None:
            return
        if script_id == NOTE:
            self._note(script, text)
            return
        request = _Request(script, script_id, text)
        reply = self._answer_locally(request.message)
        if reply is not None:
            peer.answer(script_id, reply)
            return
        if isinstance(request.message, Register):
            self._report(f"refused 'register' of script {script.number}: {_NOT_A_HUB}", peer="the scripts")
            peer.answer(script_id, protocol.encode_error(NotAllowed(_NOT_A_HUB)))
            return
        if isinstance(request.message, Commit) and not self._translate_commit(request, request.message):
            peer.answer(script_id, protocol.encode_error(LinesyncFailed(_GRANT_RETURNED)))
            return
        if isinstance(request.message, NamespaceBegin) and not self._watch_owner(request, request.message):
            return
        script.requests[script_id] = request
        limit = self._time_to_answer(request.message)
        if limit is not None:
            request.timer = self._loop.call_later(limit, self._deadline, request, limit)
        if self._sends:
            self._send(request)
        else:
            self._enqueue(request)
        if not self.reachable:
            self.say_waiting(script)

    def _enqueue(self, request: _Request) -> None:
        request.hub_id = ""
        self._queue.append(request)
        self._queued += len(request.text)

    def _unqueue(self, request: _Request) -> None:
        self._queue.remove(request)
        self._queued -= len(request.text)
        self.take_held_back()

    def holds_back(self, peer: Conversation) -> bool:
        """Whether the requests of this script must wait, because too many bytes already wait for the hub."""
        congested = self._uplink.congested or self._queued > _QUEUE_MAX
        if congested:
            self._held_back[peer] = None
        return congested

    def take_held_back(self) -> None:
        """Handle the requests that were held back."""
        held_back, self._held_back = self._held_back, {}
        for peer in held_back:
            peer.take_requests()

    @property
    def reachable(self) -> bool:
        """Whether the hub is reachable: this host is registered with the hub and receives frames from it."""
        link = self._uplink.link
        return self.registered and self._uplink.up and link is not None and not link.quiet

    @property
    def _sends(self) -> bool:
        """Whether requests are passed to the session with the hub. If the session is interrupted, they wait in it."""
        return self.registered and (self._uplink.up or bool(self._uplink.interrupted))

    @staticmethod
    def _translate_commit(request: _Request, commit: Commit) -> bool:
        """Replace the script's request id in a commit by the hub's request id. Returns False if the session in which the hub
        gave the grant has ended."""
        hub_id = request.script.granted.get(commit.request)
        if hub_id is None:
            return False
        request.text = protocol.encode(commit.but(request=hub_id))
        request.script.uncommitted.discard(commit.request)
        return True

    def _watch_owner(self, request: _Request, begin: NamespaceBegin) -> bool:
        """Watch the owner of a new namespace. If that fails, answer the request with the error. Returns whether it
        succeeded."""
        if not begin.pid:
            request.script.hub_may_hold = True
            return True
        try:
            self._owners().watch(begin.pid, begin.begin)
        except LinesyncError as error:
            request.script.peer.answer(request.script_id, protocol.encode_error(error))
            return False
        request.text = protocol.encode(begin.but(watched=True))
        return True

    def owner_gone(self, pid: int, begin: str) -> None:
        """Report the end of a process that owned namespaces. Without a session, the hub has already ended the namespaces."""
        self._uplink.tell(protocol.encode(OwnerGone(pid=pid, begin=begin)))

    @staticmethod
    def _time_to_answer(message: Message | None) -> float | None:
        """The seconds after which the agent itself answers a request if there is no line, or None for no limit."""
        if message is None or not operation(message).waits:
            return _REPLY_TIME  # the hub would answer such a request immediately, or refuse it
        timeout = _timeout(message)
        return None if timeout is None else timeout + GRACE

    def say_waiting(self, script: Script) -> None:
        """Notify a script that the hub cannot be reached now."""
        label = self._uplink.info.endpoint if self._uplink.info is not None else "its line"
        why = "no hub answers" if self._uplink.line is not None else "the line is down"
        text = f"waiting for the hub: {why} on {label}"
        script.peer.note(protocol.encode(Note(text=text)))

    def _send(self, request: _Request) -> None:
        try:
            request.hub_id, _ = self._uplink.ask(
                request.text, lambda reply: self._answer(request, reply), suffix=str(request.script.number)
            )
        except LinesyncError as error:
            self._answer(request, error)

    def _answer(self, request: _Request, reply: str | LinesyncError) -> None:
        if request.answered:
            return
        if isinstance(reply, NotSent):
            if not isinstance(request.message, Commit):
                self._enqueue(request)  # the request goes to the next session
                return
            reply = LinesyncFailed(_GRANT_RETURNED)
        self._settle(request)
        request.script.requests.pop(request.script_id, None)
        if not isinstance(reply, LinesyncError) and reply.startswith("ok"):
            if is_hold(request.message):
                request.script.has_hold = request.script.hub_may_hold = True
            if isinstance(request.message, GroupJoin):
                request.script.hub_may_hold = True
            if grant_goes_back(request.message):
                request.script.uncommitted.add(request.script_id)
            began = request.message
            if isinstance(began, NamespaceBegin) and began.pid and not self._owners().watches(began.pid, began.begin):
                self.owner_gone(began.pid, began.begin)  # the owner had ended before the session began
            granted = request.script.granted
            if isinstance(request.message, Commit):
                granted.pop(request.message.request, None)
            else:
                granted[request.script_id] = request.hub_id
            if len(granted) > _REMEMBERED:
                oldest, _ = granted.popitem(last=False)
                if oldest in request.script.uncommitted:  # the grant can no longer be committed
                    request.script.uncommitted.discard(oldest)
                    request.script.hub_may_hold = True  # the hub takes the grant back when the script ends
        if isinstance(reply, Unanswered):
            reply = unanswered(request.text, reply.why)
        text = protocol.encode_error(reply) if isinstance(reply, LinesyncError) else self._after(request.message, reply)
        request.script.peer.answer(request.script_id, text)

    @staticmethod
    def _settle(request: _Request) -> None:
        request.answered = True
        if request.timer is not None:
            request.timer.cancel()
            request.timer = None

    def _deadline(self, request: _Request, waited: float) -> None:
        """Answer a request whose deadline has passed, unless the hub can be reached."""
        if self.reachable and request.hub_id:
            request.timer = self._loop.call_later(GRACE, self._deadline, request, waited + GRACE)
            return  # the answer of the hub will arrive soon
        deadline = _timeout(request.message)
        if request in self._queue:
            self._unqueue(request)
            self._answer(request, never_sent(request.text, no_reply_reason(waited), deadline=deadline))
            return
        if request.hub_id:
            self._uplink.tell(protocol.encode(Withdraw(request=request.hub_id, arrival=_arrival(request.message))))
        self._answer(request, unanswered(request.text, no_reply_reason(waited), deadline=deadline))

    def _note(self, script: Script, text: str) -> None:
        """Handle a note. A confirmation or a withdrawal contains the script's request id."""
        try:
            message = operations.read(text, operations.HUB, note=True)
        except LinesyncError:
            return
        if isinstance(message, Concurrent):
            script.concurrent = True
        if not isinstance(message, Confirm | Withdraw):
            return
        request = script.requests.get(message.request)
        hub_id = request.hub_id if request is not None else script.granted.pop(message.request, "")
        script.uncommitted.discard(message.request)
        if not hub_id and message.arrival:  # the hub can return a hold by its arrival id alone
            hub_id = str(Id(NOTE, str(script.number)))
        if request is not None and request in self._queue:
            self._unqueue(request)
            self._answer(request, never_sent(request.text, "it was withdrawn before a hub had received it"))
        elif hub_id:
            note = protocol.encode(type(message)(request=hub_id, arrival=message.arrival))
            if isinstance(message, Withdraw):
                self._uplink.tell(note)
            else:
                self._uplink.note(note)

    def revoked(self, note: Revoked) -> None:
        """Forward a note of the hub that a script has lost a hold."""
        for script in self._scripts.values():
            if str(script.number) == note.client:
                script.peer.note(protocol.encode(note.but(client=NOTE)))

    # -- the state of the session with the hub ------------------------------------------------------------------------

    def up(self) -> None:
        """Handle the registration of this host with the hub: send the requests that waited for it."""
        self.registered = True
        self.ready.set()
        queue, self._queue, self._queued = self._queue, [], 0
        for request in queue:
            self._send(request)
        self.take_held_back()

    def interrupted(self) -> None:
        """Handle an interruption of the session, because the hub has restarted. The session may continue."""
        self.ready.clear()
        for script in self._scripts.values():
            if script.requests:
                self.say_waiting(script)

    def continued(self) -> None:
        """Handle the continuation of the session, in which the waiting requests were sent."""
        if self.registered:
            self.ready.set()
            self.take_held_back()

    def down(self) -> None:
        """Handle the end of the session with the hub. All its requests have an answer or an error now. The hub's request ids
        are not valid in the next session."""
        self.registered = False
        self.ready.clear()
        for script in self._scripts.values():
            script.granted.clear()
            script.uncommitted.clear()
            script.hub_may_hold = False
        self.notify_holds_lost("the session with the hub is over")

    @property
    def has_holds(self) -> bool:
        """Whether a script has a hold."""
        return any(script.has_hold for script in self._scripts.values())

    def notify_holds_lost(self, why: str) -> None:
        """Notify the scripts that they have lost their holds, which the hub takes back.

        :param why: the reason.
        """
        note = protocol.encode(Revoked(client=NOTE, arrival="", why=why))
        for script in self._scripts.values():
            if script.has_hold:
                script.has_hold = False
                script.peer.note(note)


def _arrival(message: Message | None) -> str:
    """The arrival id of a request; empty if it has none."""
    return str(getattr(message, "arrival", ""))


def _timeout(message: Message | None) -> float | None:
    """The timeout of a request in seconds, or None."""
    return getattr(message, "timeout", None)
