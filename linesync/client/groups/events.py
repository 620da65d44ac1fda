"""The events of a group that its members get. They are made from the events that the hub sends."""

from __future__ import annotations

from collections import deque

from ...frozen_record import Record
from ...group_kinds import ENDED, ENDS, STEPS
from ...model.state.group import NO_RING, Ring, ViewState
from ...protocol.groups import GroupEventWords, read_data
from ..states import read_json, read_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

__all__ = ["GroupEvent", "Inbox", "Message", "Step", "View"]

UNREAD_MAX = 1 << 20  # bytes of unread messages, above which the member gets only the end of its round


class View(Record):
    """The members of the group have changed, or another round begins with the same members."""

    ring: Ring
    """The id of the view; it never repeats."""
    members: tuple[str, ...]
    """The members, the oldest first."""
    joined: tuple[str, ...]
    """The members that were not in the previous view."""
    left: tuple[tuple[str, str], ...]
    """The members of the previous view that are not in this view, each with the cause."""
    missing: tuple[tuple[str, str], ...]
    """If the group is short: the members that left last, each with the cause."""
    why: str = ""
    """``retry`` or ``rerun`` if no member joined or left."""
    short: bool = False
    """Whether there are fewer members than the quorum, so that no messages are delivered and no services run."""

    @property
    def carried(self) -> tuple[str, ...]:
        """The members that were also in the previous view."""
        return tuple([name for name in self.members if name not in self.joined])

    def index(self, member: str) -> int:
        """The position of a member in the view, from 0.

        :raises ValueError: it is not in the view.
        """
        return self.members.index(member)


class Message(Record):
    """A message of a member to all members."""

    sender: str
    """The member that sent it."""
    data: bytes
    """Its data."""
    ring: Ring
    """The view in which it was sent and delivered."""
    state: bool = False
    """Whether it is the state of the group, which the hub sends to a new member. It may be from an earlier view."""


class Step(Record):
    """A step of a service, or the end of a round."""

    kind: str
    """``init``, ``process``, ``activate``, ``abort`` or ``stop`` of a service; or ``completed``, ``failed`` or ``stopped``."""
    service: int
    """The id of the service; -1 for the end of a round."""
    ring: Ring
    """The view of the round."""
    number: int
    """Its number in the sequence of the group's events."""
    text: str = ""
    """For ``completed``, the services with different versions; for ``failed`` and ``abort``, the reason."""


GroupEvent: TypeAlias = "View | Message | Step"


class Inbox:
    """Converts the events of the hub to the events that the member gets. Pure.

    1. Each event is delivered once. An event that arrives again is dropped.
    2. Steps that have not been delivered when their round is aborted are never delivered. ``abort`` is delivered exactly for
       the services that got ``init`` and did not get ``activate``, the last service first.
    3. While a delivered step runs, the next step and all later events wait. ``abort`` ends a running ``init`` or
       ``process``.
    4. The parts of a message are joined. If the last part does not arrive before the next view, the parts are dropped.

    :ivar last: the number of the last event that has arrived.
    :ivar ring: the view of the events that arrive now.
    :ivar running: the step that was delivered and has not been finished.
    :ivar ended: the cause of the end of its membership; None while it is a member.
    :ivar end_kind: the kind of this end: ``left``, ``ended`` or ``removed``.
    """

    def __init__(self, last: int) -> None:
        self.last = last
        self.ring = NO_RING
        self.running: Step | None = None
        self.ended: str | None = None
        self.end_kind = ""
        self._void = last
        self._events: deque[GroupEvent] = deque()
        self._begun: dict[int, None] = {}
        """The services that got ``init`` and did not get ``activate``, in order."""
        self._stopped = False
        """Whether the event ``stopped`` has arrived."""
        self._active: set[int] = set()
        """The services that got ``activate`` and did not get ``stop``."""
        self.size = 0
        """The bytes of the complete messages that have not been delivered."""
        self._parts: dict[str, list[bytes]] = {}  # the hub limits the size of a message

    def __len__(self) -> int:
        return len(self._events)

    def take(self, events: Iterable[GroupEventWords]) -> None:
        """Add the events of a batch.

        :raises LinesyncFailed: an event is malformed.
        """
        for event in events:
            if event.kind in ENDS:
                self.end(event.kind, event.data)
            elif event.number > self.last:
                self.last = event.number
                self._take(event)

    def _take(self, event: GroupEventWords) -> None:
        kind = event.kind
        if kind == "view":
            state = read_state(ViewState, read_json(event.data))
            self.ring = state.ring
            self._parts.clear()
            left, missing = tuple(state.left.items()), tuple(state.missing.items())
            view = View(state.ring, state.members, state.joined, left, missing, state.why, state.short)
            self._events.append(view)
        elif kind in ("message", "first", "part", "last", "state"):
            self._message(event)
        elif kind == "abort":
            self._abort(event.data, event.number)
        else:
            self._stopped = self._stopped or kind == "stopped"
            self._events.append(Step(kind, event.service, self.ring, event.number, event.data))

    def _message(self, event: GroupEventWords) -> None:
        data, kind = read_data(event.data), event.kind
        if kind in ("part", "last"):
            parts = self._parts.setdefault(event.sender, [])
            parts.append(data)
            if kind == "last":
                del self._parts[event.sender]
                self._put(Message(event.sender, b"".join(parts), self.ring))
        else:
            self._parts.pop(event.sender, None)  # an earlier message without its last part
            if kind == "first":
                self._parts[event.sender] = [data]
            else:
                self._put(Message(event.sender, data, self.ring, kind == "state"))

    def _put(self, message: Message) -> None:
        self._events.append(message)
        self.size += len(message.data)

    def _abort(self, why: str, number: int) -> None:
        """End the round: drop its steps that have not been delivered, and abort its services that have begun."""
        self._void = number
        self._events = deque([event for event in self._events if not (isinstance(event, Step) and event.kind in STEPS)])
        if self.running is not None and self.running.kind in ("init", "process"):
            self.running = None  # an abort follows; another running step continues until it ends
        self._events += [Step("abort", service, self.ring, number, why) for service in reversed(self._begun)]
        self._begun.clear()

    def end(self, kind: str, why: str) -> None:
        """End the events.

        :param kind: ``left``, ``ended`` (the group was stopped) or ``removed`` (by the group, or the session has ended).
        """
        if self.ended is None:
            self.ended, self.end_kind = why, kind
            self._abort(why, self.last)
            if kind == ENDED and not self._stopped:
                self._events.append(Step("stopped", -1, self.ring, self.last))

    def next(self) -> GroupEvent | None:
        """The next event, or None if there is none now."""
        if not self.ready:
            return None
        event = self._events.popleft()
        if isinstance(event, Message):
            self.size -= len(event.data)
        if isinstance(event, Step):
            if event.kind in STEPS:
                self.running = event
            if event.kind in ("init", "process"):
                self._begun[event.service] = None
            elif event.kind == "activate":
                self._begun.pop(event.service, None)
                self._active.add(event.service)
        return event

    @property
    def ready(self) -> bool:
        """Whether there is an event to deliver now."""
        if not self._events:
            return False
        head = self._events[0]
        return self.running is None or not (isinstance(head, Step) and head.kind in STEPS)

    @property
    def full(self) -> bool:
        """Whether the hub should send no more messages, because too many wait behind a running step."""
        return self.size > UNREAD_MAX

    @property
    def queued(self) -> bool:
        """Whether a step waits for the end of the running step."""
        return any(isinstance(event, Step) and event.kind in STEPS for event in self._events)

    def finish(self, step: Step) -> None:
        """Record that a step has ended."""
        if self.running is not None and self.running.number == step.number:
            self.running = None

    def to_stop(self, step: Step) -> bool:
        """Whether the service of a ``stop`` got ``activate`` before, so that it must be stopped."""
        stops = step.service in self._active
        self._active.discard(step.service)
        return stops

    def awaits(self, step: Step) -> bool:
        """Whether the hub waits for the report of a step: its round continues, and no later step has arrived together with it."""
        return step.kind in STEPS and step.number > self._void and not self.queued

    def valid(self, step: Step) -> bool:
        """Whether the round of a step continues."""
        return step.kind in STEPS and step.number > self._void

    def skip(self, services: Iterable[int]) -> None:
        """Keep only the steps of these services, because the member has withdrawn the others. Abort the withdrawn services that
        have begun."""
        remaining = set(services)
        kept = [
            event
            for event in self._events
            if not (isinstance(event, Step) and event.kind in STEPS and event.service not in remaining)
        ]
        gone = [service for service in reversed(self._begun) if service not in remaining]
        if self.running is not None and self.running.service in gone:
            self.running = None
        for service in gone:
            del self._begun[service]
        self._active &= remaining
        why = "this member withdrew the service"
        self._events = deque([*(Step("abort", service, self.ring, self.last, why) for service in gone), *kept])
