"""A member of a group, for asyncio and for blocking scripts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

from ... import protocol
from ...errors import Aborted, LinesyncError, LinesyncFailed, TimedOut, UsageError
from ...group_kinds import LEFT, REMOVED
from ...model.state.group import NO_RING, SEND_AGAIN, Announced, Ring
from ...runtime.pending import Pending
from ..deadlines import remaining
from ..requests import Requests, explained
from .events import Inbox, Message, Step, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...runtime.conversation import Conversation
    from .events import GroupEvent

__all__ = ["NO_RING", "Announced", "Group", "Message", "Ring", "Step", "View", "cast_as_member", "services_text"]

MESSAGE_MAX = 1 << 20  # bytes of one message
_PART = 24000  # bytes of one part of a message; as base64, it is less than the hub's limit of a part
_PAUSE, _PAUSE_MAX = 0.05, 2.0  # seconds before a message is sent again: at first, and at most
_SLOW_STEP = 0.5  # seconds: a longer step is named and reported, even if the next step has already arrived
_LINGER = 0.02  # seconds for which a member waits for the end of its step before it requests events without a report


class Group:
    """A member of a group.

    ::

        group = await client.group("cluster", services=[Announced(1, "disk"), Announced(2, "web", "1.4")])
        async for event in group.events():
            match event:
                case View():
                    print(event.ring, event.members)
                case Step(kind="process", service=service):
                    await start(service)
                    await group.done(event)
                case Step():
                    await group.done(event)

    Only one task at a time may read the events. Other tasks may send messages and report steps at the same time. A step can
    therefore run while the reading task waits for the next event, which may be ``abort``. The next step is delivered after the
    report of the current step. After ``abort``, a report of the step does nothing.

    :ivar name: the name of the group.
    :ivar member: this member: ``host`` or ``host#tag``.
    :ivar view: the view that was delivered last; None before the first view.
    """

    def __init__(
        self,
        requests: Requests,
        ask_hub: Callable[[protocol.Message], Awaitable[object]],
        reply: Callable[[str, Pending], Awaitable[object]],
        name: str,
        namespace: str,
        number: int,
        member: str,
        after: int,
    ) -> None:
        self.name = name
        self.member = member
        self.view: View | None = None
        self._namespace = namespace
        self._requests = requests
        self._ask_hub = ask_hub
        self._reply = reply
        self._number = number
        self._inbox = Inbox(after)
        self._ring = NO_RING
        self._asked: Pending | None = None
        """The request for events that waits at the hub."""
        self._error: LinesyncError | None = None
        self._lingered = False
        """Whether this member has already waited for the end of the running step."""
        self._began = 0.0
        """When the last step was delivered."""
        self._casting: Pending | None = None
        """Represents the message that is being sent; woken when the message has been sent."""
        self._part: Pending | None = None
        """The last part of a message that was sent to the hub."""
        self._unsent = 0
        """The number of a finished step that is reported together with a later step; 0 if there is none."""
        self._named = 0
        """The number of the last slow step that was named to the hub while later steps waited behind it."""
        self._full = False
        """Whether the last request for events asked for no messages, because too many are unread."""
        self._reported = Pending("", None)
        """Woken when a step is reported."""

    @property
    def ring(self) -> Ring:
        """The id of the view; ``NO_RING`` before the first view, from an abort to the next view, and while the group is short."""
        return self._ring

    # -- events -------------------------------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[GroupEvent]:
        """Yield the events in order: views, messages and steps. The iterator ends when the member has left, or the group was
        stopped.

        :raises Aborted: the member was removed from the group; ``details`` has the cause.
        :raises LinesyncFailed: the hub, or the line to it, was lost.
        """
        while (event := await self.next()) is not None:
            yield event

    async def views(self) -> AsyncIterator[View]:
        """Yield only the views. Messages are dropped, and steps are reported as done."""
        async for event in self.events():
            if isinstance(event, View):
                yield event
            elif isinstance(event, Step):
                await self.done(event)

    async def next(self) -> GroupEvent | None:
        """Wait for the next event; None if there will be none. Raises the errors of :meth:`events`."""
        while True:
            event = self._inbox.next()
            if isinstance(event, Step) and event.kind == "stop" and not self._inbox.to_stop(event):
                await self.done(event)
            elif event is not None:
                self._deliver(event)
                return event
            elif self._inbox.ended is not None:
                self._requests.groups.discard(self)
                self._raise_end(self._inbox.ended)
                return None
            else:
                await self._receive()

    async def _receive(self) -> None:
        """Wait until there may be an event to deliver."""
        inbox, peer = self._inbox, self._requests.peer
        if self._asked is None and inbox.running is not None and not self._lingered:
            await self._linger()
        if inbox.ended is None and not inbox.ready and (self._asked is None or (self._full and not inbox.full)):
            self._ask(self._unsent)
        asked, running = self._asked, inbox.running
        left = None
        if running is not None and inbox.queued and self._named != running.number:
            left = max(self._began + _SLOW_STEP - peer.now(), 0.0)
        try:
            async with peer.timeout(left):
                while asked is not None and self._asked is asked and not inbox.ready:
                    await peer.wait(asked)
        except TimeoutError:
            if running is not None and inbox.running is running:
                self._named = running.number
                self._ask(self._unsent)

    def _deliver(self, event: GroupEvent) -> None:
        if isinstance(event, View):
            self.view = event
            self._ring = NO_RING if event.short else event.ring
        elif isinstance(event, Step) and event.kind == "abort":
            self._ring = NO_RING
        self._lingered = False
        if isinstance(event, Step):
            self._began = self._requests.peer.now()

    def _raise_end(self, why: str) -> None:
        if self._error is not None:
            raise self._error
        if self._inbox.end_kind == REMOVED:
            raise Aborted(
                f"{self.member} is no longer a member of group '{self.name}': {why}; join again", details={"cause": why}
            )

    async def _linger(self) -> None:
        """Wait a short time for the end of the running step, so that one request contains its report and asks for events."""
        self._lingered = True
        peer = self._requests.peer
        try:
            async with peer.timeout(_LINGER):
                while self._inbox.running is not None and self._asked is None:
                    await peer.wait(self._reported)
        except TimeoutError:
            pass  # the request is sent without the report

    def _ask(self, number: int = 0, result: str = "done", why: str = "") -> None:
        """Ask for the next events. The request can also report a step, and it replaces an earlier request."""
        if number == self._unsent and result != "ended":
            self._unsent = 0
        self._full = self._inbox.full and self._casting is None
        request = protocol.GroupNext(
            member=self._number,
            after=self._inbox.last,
            done=number,
            result=result,
            text=why[:1000],
            Runs=self._named if self._inbox.running is not None and self._inbox.running.number == self._named else 0,
            Full=self._full,
        )
        asked = protocol.encode(request)
        _, pending = self._requests.peer.ask(asked, lambda reply: self._take(asked, pending, reply))
        self._asked = pending

    def _take(self, request: str, pending: Pending, reply: str | LinesyncError) -> None:
        """Handle a reply. This runs before the task that waits for the reply, and also if no task waits."""
        if self._asked is pending:
            self._asked = None
        try:
            if isinstance(reply, LinesyncError):
                raise explained(request, reply)
            self._inbox.take(protocol.read_event_words(protocol.read_reply(reply)))
        except LinesyncError as error:
            cause = str(error.details.get("cause", "")) if isinstance(error, Aborted) else ""
            if not cause:
                self._error = self._error or error
            self._inbox.end(str(error.details.get("end") or REMOVED), cause or error.message)
        if self._asked is not None:  # this was the reply to an earlier request
            self._requests.peer.wake(self._asked)
        elif self._casting is not None and self._inbox.ended is None:
            self._ask()  # a message waits until this member has received the earlier ones, too

    # -- reports ------------------------------------------------------------------------------------------------------

    async def done(self, step: Step, result: str = "done", text: str = "") -> None:
        """Report the end of a step. This does not wait for the hub. It does nothing if the round of the step is over.

        :param result: ``done``, ``failed``, or ``again`` (only for ``process``: the hub requests another run).
        :param text: the reason for a failure.
        """
        if result not in ("done", "again", "failed") or (result == "again" and step.kind != "process"):
            raise UsageError(f"invalid result {result!r} of {step.kind}: expected done, failed, or again for process")
        asked = self._asked
        slow = self._inbox.running == step and self._requests.peer.now() - self._began > _SLOW_STEP
        self._inbox.finish(step)
        if (
            self._inbox.awaits(step)
            or (slow and self._inbox.valid(step))
            or (result != "done" and self._inbox.valid(step))
        ):
            self._unsent = 0
            self._ask(step.number, result, text)
        elif self._inbox.valid(step):
            self._unsent = step.number
        for waits in (self._reported, asked):
            if waits is not None:
                self._requests.peer.wake(waits)

    async def ended(self, service: int, text: str = "") -> None:
        """Report that a service of this member has ended by itself. If it is a keystone, the group is stopped."""
        if self._inbox.ended is None:
            self._ask(service, "ended", text)

    # -- requests -----------------------------------------------------------------------------------------------------

    async def cast(self, data: bytes, *, state: bool = False) -> None:
        """Send a message of at most 1 MiB to all members, including this member. Wait until the message has its place in the
        order of all messages. Wait also while other members have not received the earlier messages of this member.

        :param state: the message, of at most 16 KiB, also replaces the state that new members get first.
        :raises Aborted: the view has ended before the hub has put the message in order. No member gets it.
        :raises LinesyncFailed: the group has no view now, or it is short. No member gets the message.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(
                f"invalid data: expected bytes, not {type(data).__name__}; encode a text with text.encode()"
            )
        data = bytes(data)
        _check_size(data, 16 << 10 if state else MESSAGE_MAX)
        if self.view is None:
            raise LinesyncFailed(
                f"group '{self.name}' has no view yet; wait for the first view, and send the message again"
            )
        epoch = self.view.ring.epoch
        while (waits := self._cast_in_progress()) is not None:
            await self._requests.peer.wait(waits)
        casting = self._casting = Pending("", None)
        try:
            await self._cast(data, epoch, state=state)
        finally:
            self._casting = None
            self._requests.peer.wake(casting)

    def _cast_in_progress(self) -> Pending | None:
        """The object for which the next message waits: an earlier message, or an unanswered part of a message that the caller
        gave up. None if the next message can be sent now."""
        if self._casting is None and self._part is not None and self._part.reply is None:
            return self._part
        return self._casting

    async def _cast(self, data: bytes, epoch: int, *, state: bool) -> None:
        """Send a message in parts, one after the other."""
        peer = self._requests.peer
        for word, part, more in _parts(data):
            request = protocol.GroupCast(member=self._number, epoch=epoch, data=word, Part=part, More=more, State=state)
            text = protocol.encode(request)
            _, self._part = peer.ask(text)
            if ((part and self._asked is None) or self._full) and self._inbox.ended is None:
                self._ask()  # the hub waits until this member has received the earlier parts, too
            await self._reply(text, self._part)

    async def announce(self, services: Iterable[Announced]) -> None:
        """Replace the services of this member. New services take part from the next round. The current round skips services
        that the member no longer has."""
        services = tuple(services)
        await self._ask_hub(protocol.GroupAnnounce(member=self._number, services=services_text(services)))
        self._inbox.skip([service.id for service in services])
        if self._unsent and self._inbox.running is None:
            self._ask(self._unsent)  # the later step may have been skipped

    async def leave(self) -> None:
        """Leave the group. The events end."""
        tag = self.member.partition("#")[2]
        await self._ask_hub(protocol.GroupLeave(name=self.name, ns=self._namespace, tag=tag, member=self._number))
        self._inbox.end(LEFT, LEFT)
        self._requests.groups.discard(self)


def _check_size(data: bytes, most: int) -> None:
    if len(data) > most:
        raise UsageError(
            "the message is too large: expected at most 1 MiB, or at most 16 KiB as the state of the group"
        )


def _parts(data: bytes) -> Iterator[tuple[str, bool, bool]]:
    """The parts of a message: the data for the line, whether it is a further part, and whether more parts follow."""
    for at in range(0, max(len(data), 1), _PART):
        yield protocol.data_word(data[at : at + _PART]), at > 0, at + _PART < len(data)


async def cast_as_member(
    ask: Callable[..., Awaitable[object]],
    peer: Conversation,
    data: bytes,
    *,
    name: str,
    namespace: str,
    tag: str,
    timeout: float | None,
) -> None:
    """Send a message as a member of this host; see :meth:`Operations.cast_group`."""
    _check_size(data, MESSAGE_MAX)
    begin, pause = peer.now(), _PAUSE
    while True:
        try:
            for word, part, more in _parts(data):
                request = protocol.GroupPost(name=name, data=word, ns=namespace, tag=tag, Part=part, More=more)
                await ask(request, remaining(timeout, peer.now() - begin))
            return
        except LinesyncError as error:
            if error.details.get("cause") != SEND_AGAIN:
                raise
            if timeout is not None and peer.now() - begin + pause > timeout:
                raise TimedOut(f"timed out after {timeout:g} s: {error.message}") from None
        await _sleep(peer, pause)
        pause = min(2 * pause, _PAUSE_MAX)


async def _sleep(peer: Conversation, seconds: float) -> None:
    try:
        async with peer.timeout(seconds):
            never = Pending("", None)
            while True:
                await peer.wait(never)
    except TimeoutError:
        pass  # the time has passed


def services_text(services: tuple[Announced, ...]) -> str:
    """The services as JSON, without the fields that have their default values."""
    rows = []
    for service in services:
        if not isinstance(service, Announced):
            raise TypeError(f"invalid service {service!r:.50}: expected an Announced, not {type(service).__name__}")
        row = service.as_json()
        rows.append({name: row[name] for name, (_, default) in Announced.FIELDS.items() if row[name] != default})
    return json.dumps(rows, separators=(",", ":")) if rows else ""
