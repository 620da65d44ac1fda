"""Requests of this host's scripts on their way to the hub.

The agent keeps, for each script, which request of the hub's session stands for which of the script's own; a script's
confirmation or withdrawal names its own number and is passed on under the hub's. A request whose deadline passes while
there is no line is answered here, and withdrawn at the hub once the line is back.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from .. import protocol
from ..errors import LinesyncError, LinesyncFailed, Unanswered
from ..protocol import Commit, Concurrent, Confirm, Lock, Message, Note, Revoked, Semaphore, Withdraw, operations
from ..protocol.ids import NOTE, Id
from ..protocol.operations import decode_request, grant_goes_back, never_sent, operation, unanswered
from ..runtime.conversation import Conversation
from ..runtime.peer import Peer

__all__ = ["GRACE", "Relayed", "Script", "silence"]

GRACE = 2.0  # seconds beyond a request's deadline in which the hub's own answer may still come
_PATIENCE = 10.0  # seconds for requests that do not wait for anybody
_GONE_BACK = "the session with the hub is over, and what was granted in it has gone back; nothing was taken, ask again"
_REMEMBERED = 1000  # answered requests of one script whose hub's number is kept, for their commit or confirmation


class _Request:
    """One request of a script."""

    __slots__ = ("answered", "hub", "message", "own", "script", "text", "timer")

    def __init__(self, script: Script, own: str, text: str) -> None:
        self.script = script
        self.own = own
        """The script's number."""
        self.text = text
        self.message = decode_request(text)
        """None for one that the hub will refuse."""
        self.hub = ""
        """The number in the hub's session, empty while it waits for one."""
        self.timer: asyncio.TimerHandle | None = None
        self.answered = False


class Script:
    """One script's connection."""

    def __init__(self, peer: Conversation, number: int) -> None:
        self.peer = peer
        self.number = number
        self.concurrent = False
        """It does several things at once."""
        self.exchanges = 0
        """The exchanges that it waits in."""
        self.holds = False
        """It was granted something that it keeps until it gives it back."""
        self.unsure: set[str] = set()
        """Its requests that were granted what goes back unless it is committed, by the script's number."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.requests: dict[str, _Request] = {}
        """Those without an answer, by the script's number."""
        self.granted: OrderedDict[str, str] = OrderedDict()
        """Those with a good one: the script's number to the hub's, until it is committed or confirmed."""


def silence(waited: float) -> str:
    """Why a script gets no reply, as half a sentence."""
    return f"no answer from the hub in {waited:g} s, so the line is down or no hub is at its other end"


def _is_hold(message: Message | None) -> bool:
    return isinstance(message, Lock) or (isinstance(message, Semaphore) and message.Hold)


class Relayed:
    """All requests on their way.

    :param uplink: the session with the hub.
    :param after: may change a reply on its way back: (request, reply text) to reply text.
    :param alone: the reply to a request that needs no hub while there is none, else None.
    """

    def __init__(
        self, uplink: Peer, after: Callable[[Message | None, str], str], alone: Callable[[Message | None], str | None]
    ) -> None:
        self._uplink = uplink
        self._after = after
        self._alone = alone
        self._queue: list[_Request] = []
        self._scripts: dict[Conversation, Script] = {}
        self._count = 0
        self.registered = False
        self.ready = asyncio.Event()
        """Set while the hub knows this host."""
        self._loop = asyncio.get_running_loop()

    # -- scripts come and go ------------------------------------------------------------------------------------------

    def join(self, peer: Conversation) -> Script:
        self._count += 1
        script = Script(peer, self._count)
        self._scripts[peer] = script
        return script

    def script(self, peer: Conversation) -> Script | None:
        return self._scripts.get(peer)

    def leave(self, peer: Conversation) -> Script | None:
        """A script is gone: the hub withdraws what it waits for."""
        script = self._scripts.pop(peer, None)
        if script is None:
            return None
        for request in script.requests.values():
            self._settle(request)
        self._queue = [request for request in self._queue if request.script is not script]
        leaves = script.requests or script.unsure or script.holds
        if leaves and self._uplink.up:  # else its end is nothing to the hub, and the line is spared the note
            self._uplink.note(protocol.encode(protocol.ClientGone(client=str(script.number))))
        return script

    def scripts(self) -> list[str]:
        """The numbers of the scripts that may act, with a ``*`` for those that do several things at once. One that waits in
        an exchange is none of them, for what it waits in has a number of its own."""
        return [
            f"{script.number}*" if script.concurrent else str(script.number)
            for script in self._scripts.values()
            if script.concurrent or not script.exchanges
        ]

    # -- requests -----------------------------------------------------------------------------------------------------

    def take(self, peer: Conversation, number: str, text: str) -> None:
        """A script asks, or notes."""
        script = self._scripts.get(peer)
        if script is None:
            return
        if number == NOTE:
            self._note(script, text)
            return
        request = _Request(script, number, text)
        reply = None if self.works else self._alone(request.message)
        if reply is not None:
            peer.answer(number, reply)
            return
        if isinstance(request.message, Commit) and not self._name_grant(request, request.message):
            peer.answer(number, protocol.encode_error(LinesyncFailed(_GONE_BACK)))
            return
        script.requests[number] = request
        patience = self._patience(request.message)
        if patience is not None:
            request.timer = self._loop.call_later(patience, self._deadline, request, patience)
        if self.registered and self._uplink.up:
            self._send(request)
        else:
            self._queue.append(request)
        if not self.works:
            self.say_waiting(script)

    @property
    def works(self) -> bool:
        """The hub knows this host, and is heard."""
        link = self._uplink.link
        return self.registered and self._uplink.up and link is not None and not link.quiet

    @staticmethod
    def _name_grant(request: _Request, commit: Commit) -> bool:
        """Let a commit name the hub's number of what was granted; False when the session that granted it is over."""
        number = request.script.granted.get(commit.request)
        if number is None:
            return False
        request.text = protocol.encode(commit.but(request=number))
        request.script.unsure.discard(commit.request)
        return True

    @staticmethod
    def _patience(message: Message | None) -> float | None:
        """Seconds after which a request without a line is answered here, None for never."""
        if message is None or not operation(message).waits:
            return _PATIENCE  # it asks for something that is there or not, or the hub refuses it in its own words
        timeout: float | None = message.timeout  # type: ignore[attr-defined]
        return None if timeout is None else timeout + GRACE

    def say_waiting(self, script: Script) -> None:
        """Tell a script that the hub cannot be reached now."""
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
        self._settle(request)
        request.script.requests.pop(request.own, None)
        if not isinstance(reply, LinesyncError) and reply.startswith("ok"):
            request.script.holds = request.script.holds or _is_hold(request.message)
            if grant_goes_back(request.message):
                request.script.unsure.add(request.own)
            granted = request.script.granted
            if isinstance(request.message, Commit):
                granted.pop(request.message.request, None)
            else:
                granted[request.own] = request.hub
            if len(granted) > _REMEMBERED:
                granted.popitem(last=False)
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
        """The deadline has passed and no answer came."""
        if self.works and request.hub:
            request.timer = self._loop.call_later(GRACE, self._deadline, request, waited + GRACE)
            return  # the hub decides; its answer is on the way
        deadline = _timeout(request.message)
        if request in self._queue:
            self._queue.remove(request)
            self._answer(request, never_sent(request.text, silence(waited), deadline=deadline))
            return
        if request.hub:
            self._uplink.note(protocol.encode(Withdraw(request=request.hub, arrival=_arrival(request.message))))
        self._answer(request, unanswered(request.text, silence(waited), deadline=deadline))

    def _note(self, script: Script, text: str) -> None:
        """A confirmation or a withdrawal, which names a request by the script's own number."""
        try:
            message = operations.read(text, operations.HUB)
        except LinesyncError:
            return
        if isinstance(message, Concurrent):
            script.concurrent = True
        if not isinstance(message, Confirm | Withdraw):
            return
        request = script.requests.get(message.request)
        number = request.hub if request is not None else script.granted.pop(message.request, "")
        script.unsure.discard(message.request)
        if not number and message.arrival:  # what is held is given back by its arrival alone
            number = str(Id(NOTE, str(script.number)))
        if request is not None and request in self._queue:
            self._queue.remove(request)
            self._answer(request, never_sent(request.text, "it was given up before a hub had it"))
        elif number:
            self._uplink.note(protocol.encode(type(message)(request=number, arrival=message.arrival)))

    def revoked(self, note: Revoked) -> None:
        """The hub says that a script no longer holds something."""
        for script in self._scripts.values():
            if str(script.number) == note.client:
                script.peer.note(protocol.encode(note.but(client=NOTE)))

    # -- the uplink comes and goes ------------------------------------------------------------------------------------

    def up(self) -> None:
        """The hub knows this host: what waited goes to it now."""
        self.registered = True
        self.ready.set()
        queue, self._queue = self._queue, []
        for request in queue:
            self._send(request)

    def down(self) -> None:
        """The session with the hub is over; its unanswered requests were answered with that, and its numbers mean
        nothing in the next one."""
        self.registered = False
        self.ready.clear()
        for script in self._scripts.values():
            script.granted.clear()
            script.unsure.clear()
        self.let_go("the session with the hub is over")

    @property
    def holds(self) -> bool:
        """Some script was granted something that it keeps."""
        return any(script.holds for script in self._scripts.values())

    def let_go(self, why: str) -> None:
        """What scripts hold has gone back at the hub."""
        gone = protocol.encode(Revoked(client=NOTE, arrival="", why=why))
        for script in self._scripts.values():
            if script.holds:
                script.holds = False
                script.peer.note(gone)


def _arrival(message: Message | None) -> str:
    """The id that a request gave its arrival, empty for none."""
    return str(getattr(message, "arrival", ""))


def _timeout(message: Message | None) -> float | None:
    """The seconds that a request gives itself, None for none."""
    return getattr(message, "timeout", None)
