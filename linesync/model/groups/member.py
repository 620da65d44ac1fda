"""One member of a group: its services, the events that it has received, and the steps that it has not reported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ...group_kinds import ACTIVATE, STEPS, STOP
from ..kept.groups import KeptGroupMember, KeptStep
from ..participants import Client
from ..state.group import Announced
from .transitions import JOINING, MEMBER, MEMBER_STATES

__all__ = ["Member", "Step"]

UNREPORTED = 1.0  # seconds: a member reports a step that took longer before it begins the next one
STOP_TIME = 300.0  # seconds for a stop step of a service without a timeout, because no member can join in the meantime


@dataclass(frozen=True, slots=True)
class Step:
    """A step that a member was asked to run.

    :ivar number: its number in the log.
    :ivar kind: ``init``, ``process``, ``activate`` or ``stop``.
    :ivar service: the id of the service.
    """

    number: int
    kind: str
    service: int


@dataclass(slots=True, eq=False)
class Member:
    """One member.

    :ivar number: grows in the order in which members joined.
    :ivar name: ``host`` or ``host#tag``.
    :ivar client: the client that joined.
    :ivar arrival: the id of the request with which it joined.
    :ivar passive: whether the host itself is the member; then it gets no events.
    :ivar services: the services that it announced, by id.
    :ivar since: when it joined.
    :ivar sent: the number of the last event that was sent to it.
    :ivar stage: its state in the table of members.
    :ivar taking: its services that take part in the current round.
    :ivar steps: the steps that it has not reported, in order.
    :ivar began: when the first of these steps could begin.
    :ivar active: the services that it was asked to activate and has not stopped.
    :ivar poll: the arrival id of its request for events; empty if it has none.
    :ivar full: whether this request gets no events before the round has ended, because the member has many unread messages.
    :ivar runs: the number of the step that the member said it runs; 0 if it is not known.
    :ivar cast: the arrival id of its message that gets no reply until the log has room; empty if there is none.
    :ivar cast_number: the number of that message.
    :ivar partial: the number of bytes that have arrived of an incomplete message.
    :ivar poster: the number of the client that sends the incomplete message, if it is not the client of the member.
    :ivar ended: the services that have ended by themselves since their last step, each with the reason.
    """

    number: int
    name: str
    client: Client
    arrival: str
    passive: bool
    services: dict[int, Announced]
    since: float
    sent: int
    stage: str = JOINING
    taking: set[int] = field(default_factory=set)
    steps: list[Step] = field(default_factory=list)
    began: float = 0.0
    active: set[int] = field(default_factory=set)
    poll: str = ""
    full: bool = False
    runs: int = 0
    cast: str = ""
    cast_number: int = 0
    partial: int = 0
    poster: str = ""
    ended: dict[int, str] = field(default_factory=dict)

    @property
    def joining(self) -> bool:
        """Whether it is not in a view yet."""
        return self.stage == JOINING

    def view(self, event: str) -> bool:
        """A view is formed. Return whether the member gets the state of the group after it."""
        (rule,) = MEMBER[self.stage, event]
        self.stage = rule.next
        return "send_state" in rule.actions

    def announce(self, services: Iterable[Announced], now: float) -> None:
        """Replace the services. The steps of removed services are skipped."""
        first = self.steps[:1]
        self.services = {announced.id: announced for announced in services}
        self.steps = [step for step in self.steps if step.service in self.services]
        if self.steps[:1] != first:
            self.began = now
        self.active &= self.services.keys()
        self.ended = {service: why for service, why in self.ended.items() if service in self.services}
        self.taking &= self.services.keys()

    def owe(self, step: Step, now: float) -> None:
        """Add a step that the member is asked to run."""
        if not self.steps:
            self.began = now
        self.steps.append(step)
        self.ended.pop(step.service, None)
        if step.kind == ACTIVATE:
            self.active.add(step.service)

    def done(self, number: int, now: float) -> Step | None:
        """Remove all steps up to this number, because the member has run them. Return the last of them, or None."""
        last = None
        while self.steps and self.steps[0].number <= number:
            last = self.steps.pop(0)
            if last.kind == STOP:
                self.active.discard(last.service)
        self.began = now
        return last

    @property
    def deadline(self) -> float | None:
        """The time by which the first owed step must be done, or None if there is no limit.

        A member reports a short step together with the next step. Each further owed step therefore adds :data:`UNREPORTED`
        seconds.
        """
        if not self.steps:
            return None
        first = self.steps[0]
        limit = self.services[first.service].timeout or (STOP_TIME if first.kind == STOP else 0.0)
        return self.began + limit + UNREPORTED * (len(self.steps) - 1) if limit else None

    def kept(self) -> KeptGroupMember:
        client = self.client
        return KeptGroupMember(
            member=self.name,
            host=client.host,
            client=client.number,
            principal=client.principal,
            arrival=self.arrival,
            passive=self.passive,
            since=self.since,
            sent=self.sent,
            stage=self.stage,
            taking=tuple(sorted(self.taking)),
            steps=tuple([KeptStep(number=step.number, kind=step.kind, service=step.service) for step in self.steps]),
            began=self.began,
            active=tuple(sorted(self.active)),
            poll=self.poll,
            full=self.full,
            runs=self.runs,
            cast=self.cast,
            cast_number=self.cast_number,
            partial=self.partial,
            poster=self.poster,
            ended={str(service): why for service, why in self.ended.items()},
        )

    @classmethod
    def restore(
        cls, number: int, kept: KeptGroupMember, services: Iterable[Announced], client: Client, shift: float
    ) -> Member:
        """Make a member from its record and its services; raises ValueError."""
        announced = {service.id: service for service in services}
        if not all(step.service in announced and step.kind in STEPS for step in kept.steps):
            raise ValueError("it has a step of a service that it has not announced")
        if kept.stage not in MEMBER_STATES:
            raise ValueError(f"it has the state {kept.stage!r:.20}")
        return cls(
            number=number,
            name=kept.member,
            client=client,
            arrival=kept.arrival,
            passive=kept.passive,
            services=announced,
            since=kept.since + shift,
            sent=kept.sent,
            stage=kept.stage,
            taking=set(kept.taking),
            steps=[Step(number=step.number, kind=step.kind, service=step.service) for step in kept.steps],
            began=kept.began + shift,
            active=set(kept.active),
            poll=kept.poll,
            full=kept.full,
            runs=kept.runs,
            cast=kept.cast,
            cast_number=kept.cast_number,
            partial=kept.partial,
            poster=kept.poster,
            ended={int(service): why for service, why in kept.ended.items()},
        )
