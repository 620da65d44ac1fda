"""Relays the requests of this host's scripts to the hub.

For each script, the agent maps the numbers of the script's requests to their numbers in the hub's session. A confirmation
or withdrawal of a script has the script's number, which the agent replaces by the hub's. If the deadline of a request passes
while there is no line, the agent answers it, and withdraws it at the hub when the line is back.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from .. import protocol
from ..errors import LinesyncError, LinesyncFailed, NotAllowed, NotSent, Unanswered
from ..jobs.serve import JOBS, Jobs
from ..protocol import (
    Commit,
    Concurrent,
    Confirm,
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

__all__ = ["GRACE", "Relayed", "Script", "silence"]

GRACE = 2.0  # seconds after a request's deadline in which the hub's own answer may still arrive
_REPLY_TIME = 10.0  # seconds until the agent answers a request that does not wait for other hosts
_GONE_BACK = "the session with the hub is over, and its uncommitted grants have gone back; nothing was taken, ask again"
_NOT_A_HUB = (
    "'register' is not allowed here: an agent listens on this socket for its scripts, not for other agents; start this agent"
    " with the --port of a hub"
)
_QUEUE_MAX = 1 << 20  # if more bytes of requests than this wait for a session, the scripts' requests are held back
_REMEMBERED = 1000  # answered requests of one script whose hub numbers are kept, for their commit or confirmation


class _Request:
    """One request of a script."""

    __slots__ = ("answered", "hub", "message", "own", "script", "text", "timer")

    def __init__(self, script: Script, own: str, text: str) -> None:
        self.script = script
        self.own = own
        """The script's number of the request."""
        self.text = text
        self.message = decode_request(text)
        """The decoded request; None if it is invalid, so that the hub will refuse it."""
        self.hub = ""
        """The number in the hub's session; empty while the request waits for a session."""
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
        self.holds = False
        """Whether it was granted a hold: something that it keeps until it gives it back."""
        self.held = False
        """Whether the hub may keep something that ends with the script: a namespace, or a hold, even one that the agent ended."""
        self.uncommitted: set[str] = set()  # bound: relayed._REMEMBERED
        """The script's numbers of its requests whose grant goes back unless it is committed."""
        self.tasks: set[asyncio.Task[None]] = set()  # bound: limits.CHANNELS
        self.jobs = Jobs(JOBS, "this script")
        """What hosts do for it."""
        self.requests: dict[str, _Request] = {}  # bound: waits.WAITS_PER_CLIENT, relayed._QUEUE_MAX
        """Its requests without an answer, by the script's number."""
        self.granted: OrderedDict[str, str] = OrderedDict()  # bound: relayed._REMEMBERED
        """Its requests that succeeded: the script's number to the hub's, until the request is committed or confirmed."""


def silence(waited: float) -> str:
    """Why a script gets no reply, as a part of a sentence.

    :param waited: seconds.
    """
    return f"no answer from the hub in {waited:g} s, so the line is down or there is no hub at its other end"


class Relayed:
    """All scripts and their requests.

    :param uplink: the session with the hub.
    :param after: may change a reply of the hub: (request, reply text) to reply text.
    :param own: returns the reply to a request that the agent answers itself, or None.
    :param owners: returns what watches the processes of this machine that own a namespace.
    :param report: writes to the log.
    """

    def __init__(
        self,
        uplink: Peer,
        after: Callable[[Message | None, str], str],
        own: Callable[[Message | None], str | None],
        owners: Callable[[], Owners],
        report: Report,
    ) -> None:
        self._owners = owners
        self._uplink = uplink
        self._report = report
        self._after = after
        self._own = own
        self._queue: list[_Request] = []  # bound: relayed._QUEUE_MAX
        """Requests that wait for a session with the hub."""
        self._queued = 0
        """Their size in bytes."""
        self._held_back: dict[Conversation, None] = {}  # bound: limits.SESSIONS
        """The scripts whose requests wait until the hub has taken more of those that were sent before."""
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
        """A script has ended. The hub withdraws its requests."""
        script = self._scripts.pop(peer, None)
        if script is None:
            return None
        for request in script.requests.values():
            self._settle(request)
        for request in [request for request in self._queue if request.script is script]:
            self._unqueue(request)
        self._held_back.pop(peer, None)
        known = script.requests or script.uncommitted or script.held
        if known:  # without a session, the hub has nothing of this script, and the note is dropped
            self._uplink.tell(protocol.encode(protocol.ClientGone(client=str(script.number))))
        return script

    def idle(self, peer: Conversation) -> bool:
        """Whether a script neither waits for something nor holds something."""
        script = self._scripts.get(peer)
        return script is not None and not (script.requests or script.uncommitted or script.held or script.tasks)

    def scripts(self) -> list[str]:
        """The numbers of the scripts that may act, with a ``*`` for those that can do several operations at the same time.
        A script that waits in an exchange is left out, because the exchange has its own number."""
        return [
            f"{script.number}*" if script.concurrent else str(script.number)
            for script in self._scripts.values()
            if script.concurrent or not script.exchanges
        ]

    # -- requests -----------------------------------------------------------------------------------------------------

    def take(self, peer: Conversation, number: str, text: str) -> None:
        """Handle a request or a note of a script."""
        script = self._scripts.get(peer)
        if script is None:
            return
        if number == NOTE:
            self._note(script, text)
            return
        request = _Request(script, number, text)
        reply = self._own(request.message)
        if reply is not None:
            peer.answer(number, reply)
            return
        if isinstance(request.message, Register):
            self._report(f"refused 'register' of script {script.number}: {_NOT_A_HUB}", peer="the scripts")
            peer.answer(number, protocol.encode_error(NotAllowed(_NOT_A_HUB)))
            return
        if isinstance(request.message, Commit) and not self._name_grant(request, request.message):
            peer.answer(number, protocol.encode_error(LinesyncFailed(_GONE_BACK)))
            return
        if isinstance(request.message, NamespaceBegin) and not self._name_owner(request, request.message):
            return
        script.requests[number] = request
        limit = self._time_to_answer(request.message)
        if limit is not None:
            request.timer = self._loop.call_later(limit, self._deadline, request, limit)
        if self._sends:
            self._send(request)
        else:
            self._enqueue(request)
        if not self.works:
            self.say_waiting(script)

    def _enqueue(self, request: _Request) -> None:
        request.hub = ""
        self._queue.append(request)
        self._queued += len(request.text)

    def _unqueue(self, request: _Request) -> None:
        self._queue.remove(request)
        self._queued -= len(request.text)
        self.take_held_back()

    def holds_back(self, peer: Conversation) -> bool:
        """Whether the requests of this script must wait, because too much waits for the hub already."""
        full = self._uplink.congested or self._queued > _QUEUE_MAX
        if full:
            self._held_back[peer] = None
        return full

    def take_held_back(self) -> None:
        """Handle the requests that were held back."""
        held_back, self._held_back = self._held_back, {}
        for peer in held_back:
            peer.take_requests()

    @property
    def works(self) -> bool:
        """Whether this host is registered with the hub and receives its frames."""
        link = self._uplink.link
        return self.registered and self._uplink.up and link is not None and not link.quiet

    @property
    def _sends(self) -> bool:
        """Whether requests go to the session with the hub, which may be interrupted."""
        return self.registered and (self._uplink.up or bool(self._uplink.interrupted))

    @staticmethod
    def _name_grant(request: _Request, commit: Commit) -> bool:
        """Replace the script's number in a commit by the hub's. Return False if the session that granted it is over."""
        number = request.script.granted.get(commit.request)
        if number is None:
            return False
        request.text = protocol.encode(commit.but(request=number))
        request.script.uncommitted.discard(commit.request)
        return True

    def _name_owner(self, request: _Request, begin: NamespaceBegin) -> bool:
        """Watch the owner of a new namespace. Return False after an answer that it cannot be watched."""
        if not begin.pid:
            request.script.held = True
            return True
        try:
            self._owners().watch(begin.pid, begin.begin)
        except LinesyncError as error:
            request.script.peer.answer(request.own, protocol.encode_error(error))
            return False
        request.text = protocol.encode(begin.but(watched=True))
        return True

    def owner_gone(self, pid: int, begin: str) -> None:
        """The owner of namespaces has ended. Without a session, the hub has already ended them."""
        self._uplink.tell(protocol.encode(OwnerGone(pid=pid, begin=begin)))

    @staticmethod
    def _time_to_answer(message: Message | None) -> float | None:
        """Seconds after which the agent itself answers a request while there is no line; None for never."""
        if message is None or not operation(message).waits:
            return _REPLY_TIME  # the hub answers such a request immediately, or refuses it
        timeout: float | None = message.timeout  # type: ignore[attr-defined]
        return None if timeout is None else timeout + GRACE

    def say_waiting(self, script: Script) -> None:
        """Notify a script that the hub cannot be reached now."""
        where = self._uplink.info.endpoint if self._uplink.info is not None else "its line"
        why = "no hub answers" if self._uplink.line is not None else "the line is down"
        text = f"waiting for the hub: {why} on {where}"
        script.peer.note(protocol.encode(Note(text=text)))

    def _send(self, request: _Request) -> None:
        try:
            request.hub, _ = self._uplink.ask(
                request.text, lambda reply: self._answer(request, reply), suffix=str(request.script.number)
            )
        except LinesyncError as error:
            self._answer(request, error)

    def _answer(self, request: _Request, reply: str | LinesyncError) -> None:
        if request.answered:
            return
        if isinstance(reply, NotSent):
            if not isinstance(request.message, Commit):
                self._enqueue(request)  # it goes to the next session
                return
            reply = LinesyncFailed(_GONE_BACK)
        self._settle(request)
        request.script.requests.pop(request.own, None)
        if not isinstance(reply, LinesyncError) and reply.startswith("ok"):
            if is_hold(request.message):
                request.script.holds = request.script.held = True
            if grant_goes_back(request.message):
                request.script.uncommitted.add(request.own)
            began = request.message
            if isinstance(began, NamespaceBegin) and began.pid and not self._owners().watches(began.pid, began.begin):
                self.owner_gone(began.pid, began.begin)  # it had ended before there was a session
            granted = request.script.granted
            if isinstance(request.message, Commit):
                granted.pop(request.message.request, None)
            else:
                granted[request.own] = request.hub
            if len(granted) > _REMEMBERED:
                oldest, _ = granted.popitem(last=False)
                if oldest in request.script.uncommitted:  # it can no longer be committed
                    request.script.uncommitted.discard(oldest)
                    request.script.held = True  # it goes back when the script ends
        if isinstance(reply, Unanswered):
            reply = unanswered(request.text, reply.why)
        text = protocol.encode_error(reply) if isinstance(reply, LinesyncError) else self._after(request.message, reply)
        request.script.peer.answer(request.own, text)

    @staticmethod
    def _settle(request: _Request) -> None:
        request.answered = True
        if request.timer is not None:
            request.timer.cancel()
            request.timer = None

    def _deadline(self, request: _Request, waited: float) -> None:
        """The deadline has passed without an answer."""
        if self.works and request.hub:
            request.timer = self._loop.call_later(GRACE, self._deadline, request, waited + GRACE)
            return  # the hub decides; its answer is on the way
        deadline = _timeout(request.message)
        if request in self._queue:
            self._unqueue(request)
            self._answer(request, never_sent(request.text, silence(waited), deadline=deadline))
            return
        if request.hub:
            self._uplink.tell(protocol.encode(Withdraw(request=request.hub, arrival=_arrival(request.message))))
        self._answer(request, unanswered(request.text, silence(waited), deadline=deadline))

    def _note(self, script: Script, text: str) -> None:
        """Handle a note. A confirmation or a withdrawal names a request by the script's own number."""
        try:
            message = operations.read(text, operations.HUB, note=True)
        except LinesyncError:
            return
        if isinstance(message, Concurrent):
            script.concurrent = True
        if not isinstance(message, Confirm | Withdraw):
            return
        request = script.requests.get(message.request)
        number = request.hub if request is not None else script.granted.pop(message.request, "")
        script.uncommitted.discard(message.request)
        if not number and message.arrival:  # a hold is given back by its arrival alone
            number = str(Id(NOTE, str(script.number)))
        if request is not None and request in self._queue:
            self._unqueue(request)
            self._answer(request, never_sent(request.text, "it was withdrawn before a hub had received it"))
        elif number:
            note = protocol.encode(type(message)(request=number, arrival=message.arrival))
            if isinstance(message, Withdraw):
                self._uplink.tell(note)
            else:
                self._uplink.note(note)

    def revoked(self, note: Revoked) -> None:
        """The hub reports that a script has lost a hold."""
        for script in self._scripts.values():
            if str(script.number) == note.client:
                script.peer.note(protocol.encode(note.but(client=NOTE)))

    # -- the state of the session with the hub ------------------------------------------------------------------------

    def up(self) -> None:
        """This host is registered with the hub: send the requests that have waited for that."""
        self.registered = True
        self.ready.set()
        queue, self._queue, self._queued = self._queue, [], 0
        for request in queue:
            self._send(request)
        self.take_held_back()

    def interrupted(self) -> None:
        """The session with the hub is interrupted, because the hub has restarted. It may continue."""
        self.ready.clear()
        for script in self._scripts.values():
            if script.requests:
                self.say_waiting(script)

    def continued(self) -> None:
        """The session continues, and the requests that waited for it were sent."""
        if self.registered:
            self.ready.set()
            self.take_held_back()

    def down(self) -> None:
        """The session with the hub is over. Its unanswered requests have already been answered with an error. Its numbers
        are not valid in the next session."""
        self.registered = False
        self.ready.clear()
        for script in self._scripts.values():
            script.granted.clear()
            script.uncommitted.clear()
            script.held = False
        self.let_go("the session with the hub is over")

    @property
    def holds(self) -> bool:
        """Whether any script has a hold."""
        return any(script.holds for script in self._scripts.values())

    def let_go(self, why: str) -> None:
        """Notify the scripts that their holds have gone back at the hub.

        :param why: the reason.
        """
        gone = protocol.encode(Revoked(client=NOTE, arrival="", why=why))
        for script in self._scripts.values():
            if script.holds:
                script.holds = False
                script.peer.note(gone)


def _arrival(message: Message | None) -> str:
    """The id of a request's arrival; empty if it has none."""
    return str(getattr(message, "arrival", ""))


def _timeout(message: Message | None) -> float | None:
    """The timeout of a request in seconds, or None."""
    return getattr(message, "timeout", None)
