"""A member of a group, for asyncio and for blocking scripts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from .. import protocol
from ..errors import Aborted, LinesyncError, LinesyncFailed, UsageError
from ..model.state.group import NO_RING, Announced, Ring
from ..runtime.pending import Pending
from .group_events import GROUP_STOPPED, LEFT, STEPS, Inbox, Message, Step, View
from .requests import Requests, explained

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .group_events import GroupEvent

__all__ = ["NO_RING", "Announced", "Group", "Message", "Ring", "Step", "View", "services_text"]

MESSAGE_MAX = 1 << 20  # bytes of one message
_PART = 24000  # bytes of one part of a message; as base64, it is less than the hub's limit of a part
_LINGER = 0.02  # seconds that a member that runs a step waits for its end, before it asks for events without a report


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

    One task at a time reads the events. Other tasks may send messages and report steps at the same time, so that a step can run
    while the task waits for the next event, which may be ``abort``. After ``abort``, a report of the step does nothing.

    :ivar name: the name of the group.
    :ivar member: this member: ``host`` or ``host#tag``.
    :ivar view: the view that was delivered last; None before the first one.
    """

    def __init__(
        self,
        requests: Requests,
        ask_hub: Callable[[protocol.Message], Awaitable[object]],
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
        self._number = number
        self._inbox = Inbox(after)
        self._ring = NO_RING
        self._asked: Pending | None = None
        """The request for events that waits at the hub."""
        self._error: LinesyncError | None = None
        self._running: Step | None = None
        """A step that was delivered and not reported."""
        self._unsent = 0
        """The number of a finished step whose report goes with that of a later step; 0 if there is none."""
        self._reported = Pending("", None)
        """Woken when a step is reported."""

    @property
    def ring(self) -> Ring:
        """The id of the view; ``NO_RING`` before the first one, from an abort to the next view, and while the group is short."""
        return self._ring

    # -- events -------------------------------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[GroupEvent]:
        """The events in order: views, messages and steps. The iterator ends when the member has left, and when the group was
        stopped.

        :raises Aborted: the member was removed from the group; ``details`` has the cause.
        :raises LinesyncFailed: the hub, or the line to it, was lost.
        """
        while (event := await self.next()) is not None:
            yield event

    async def views(self) -> AsyncIterator[View]:
        """The views alone. Messages are dropped, and steps are reported as done."""
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
        """Wait until the request for events is answered."""
        if self._asked is None and self._running is not None:
            await self._linger()
        if self._asked is None and self._inbox.ended is None:
            self._ask()
        if self._asked is not None:
            try:
                await self._requests.peer.reply_to(self._asked)
            except LinesyncError:
                pass  # _take has handled it

    def _deliver(self, event: GroupEvent) -> None:
        if isinstance(event, View):
            self.view = event
            self._ring = NO_RING if event.short else event.ring
        elif isinstance(event, Step) and event.kind == "abort":
            self._ring = NO_RING
            self._running = None
        elif isinstance(event, Step) and event.kind in STEPS:
            self._running = event

    def _raise_end(self, why: str) -> None:
        if self._error is not None:
            raise self._error
        if why not in (LEFT, GROUP_STOPPED):
            raise Aborted(
                f"{self.member} is no longer a member of group '{self.name}': {why}; join again", details={"cause": why}
            )

    async def _linger(self) -> None:
        """A step runs: give it a moment, because a request with its report replaces one without."""
        peer = self._requests.peer
        try:
            async with peer.timeout(_LINGER):
                while self._running is not None and self._asked is None:
                    await peer.wait(self._reported)
        except TimeoutError:
            self._running = None

    def _ask(self, number: int = 0, result: str = "done", why: str = "") -> None:
        """Ask for the next events. This also reports a step, and replaces an earlier request."""
        request = protocol.GroupNext(
            member=self._number, after=self._inbox.last, done=number, result=result, text=why[:1000]
        )
        asked = protocol.encode(request)
        _, pending = self._requests.peer.ask(asked, lambda reply: self._take(asked, pending, reply))
        self._asked = pending

    def _take(self, request: str, pending: Pending, reply: str | LinesyncError) -> None:
        """A reply has come. This runs before a task that waits for it, and also if none waits."""
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
            self._inbox.end(cause or error.message)

    # -- reports ------------------------------------------------------------------------------------------------------

    async def done(self, step: Step, result: str = "done", text: str = "") -> None:
        """Report the end of a step. This does not wait for the hub. It does nothing if the round of the step is over.

        :param result: ``done``, ``failed``, or ``again``: the step is ``process``, and the hub asks for it again.
        :param text: why it failed.
        """
        if result not in ("done", "again", "failed") or (result == "again" and step.kind != "process"):
            raise UsageError(f"invalid result {result!r} of {step.kind}: expected done, failed, or again for process")
        if self._running is not None and self._running.number <= step.number:
            self._running = None
        if self._inbox.awaits(step) or (result != "done" and self._inbox.valid(step)):
            self._unsent = 0
            self._ask(step.number, result, text)
        elif self._inbox.valid(step):
            self._unsent = step.number
        self._requests.peer.wake(self._reported)

    async def ended(self, service: int, text: str = "") -> None:
        """Report that a service of this member has ended by itself. If it is a keystone, the group is stopped."""
        if self._inbox.ended is None:
            self._ask(service, "ended", text)

    # -- requests -----------------------------------------------------------------------------------------------------

    async def cast(self, data: bytes, *, state: bool = False) -> None:
        """Send a message of at most 1 MiB to all members, including this one. Wait until the hub has put it in order, and while
        other members have not received the earlier messages of this member.

        :param state: the message, of at most 16 KiB, also replaces the state that newcomers get first.
        :raises Aborted: the view has ended before the hub has put the message in order. No member gets it.
        :raises LinesyncFailed: the group has no view now, or it is short. No member gets the message.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(
                f"invalid data: expected bytes, not {type(data).__name__}; encode a text with text.encode()"
            )
        data = bytes(data)
        if len(data) > MESSAGE_MAX or (state and len(data) > 16 << 10):
            raise UsageError("the message is too large: it may have 1 MiB, or 16 KiB as the state of the group")
        if self.view is None:
            raise LinesyncFailed(
                f"group '{self.name}' has no view yet; wait for the first view, and send the message again"
            )
        epoch = self.view.ring.epoch
        parts = [data[at : at + _PART] for at in range(0, len(data), _PART)] or [b""]
        for number, part in enumerate(parts, 1):
            request = protocol.GroupCast(
                member=self._number,
                epoch=epoch,
                data=protocol.data_word(part),
                Part=number < len(parts),
                State=state,
            )
            await self._ask_hub(request)

    async def announce(self, services: Iterable[Announced]) -> None:
        """Replace the services of this member. New ones take part from the next round; the present round skips the others."""
        services = tuple(services)
        await self._ask_hub(protocol.GroupAnnounce(member=self._number, services=services_text(services)))
        self._inbox.skip([one.id for one in services])
        if self._unsent and self._running is None:
            self._ask(self._unsent)  # the later step may have been skipped

    async def leave(self) -> None:
        """Leave the group. The events end."""
        tag = self.member.partition("#")[2]
        await self._ask_hub(protocol.GroupLeave(name=self.name, ns=self._namespace, tag=tag))
        self._inbox.end(LEFT)
        self._requests.groups.discard(self)


def services_text(services: tuple[Announced, ...]) -> str:
    """The services as JSON, without the fields that are the default."""
    rows = []
    for one in services:
        if not isinstance(one, Announced):
            raise TypeError(f"invalid service {one!r:.50}: expected an Announced, not {type(one).__name__}")
        row = one.as_json()
        rows.append({name: row[name] for name, (_, default) in Announced.FIELDS.items() if row[name] != default})
    return json.dumps(rows, separators=(",", ":")) if rows else ""
