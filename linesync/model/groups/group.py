"""One group: its members, its views, its quorum, and its messages.

1. Each change of the members makes a view with an id that never repeats. All members that go at the same time leave in one
   view. A line that is lost for less than the lease of its host changes nothing.
2. The hub orders everything in one log (:mod:`.log`). So all members see the same views and messages in the same order.
3. A message names the view that its sender saw. If that view has ended, nothing is delivered and the sender gets an error.
   So a message is delivered in its own view, or not at all.
4. Below its quorum a group is *short*: it forms views, but it delivers no message and runs no round.
5. A sender whose messages have not been sent to all waits for its reply. If nothing can be sent to a member for ``SLOW`` seconds
   while senders wait, or while the log has more than ``LOG_MAX`` events, that member is removed.
6. The state that the members set (``state``) goes to each newcomer, directly after its first view.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

from ...errors import Aborted, LinesyncFailed, Mismatch, UsageError
from ..decisions import Batch, Failed, Granted, GroupEvent, Outcome, Posted
from ..journal import Journal
from ..kept.groups import KeptGroup
from ..participants import names_in_words
from ..state.group import NO_RING, GroupMemberState, GroupState, Ring, Terms, ViewState
from .log import ABORT, END, FAILED, FIRST, LAST, MESSAGE, PART, STATE, STOPPED, VIEW, Log
from .member import Member
from .round import NONE, STOPPING, Round

__all__ = ["Group"]

WINDOW = 256 << 10  # bytes of one sender's messages that not all members have received; above that, the sender waits
SLOW = 30.0  # seconds that senders wait for a member that receives nothing
LOG_MAX = 2000  # events that were not sent to all members; above that, a member that asks for nothing is removed
WHY_CHARS = 1000  # characters of the reason why a service has ended
MISSING_MAX = 100  # members that have left and are named
ROOM_OF_LOG = 16 << 20  # bytes of the log of one group; above that, all senders wait
PART_MAX = 32 << 10  # most characters of one part of a message
MESSAGE_BYTES = 1 << 20  # most bytes of one message

LEFT, GAVE_UP, EXCLUDED = "left", "gave up", "excluded"
TOO_SLOW, GROUP_STOPPED = "too slow", "the group was stopped"


class Group:
    """One group.

    :param key: its namespace and name.
    :param next_ring: returns the id of the next view.
    :param note: notes a change for followers.
    """

    def __init__(
        self,
        key: tuple[str, str],
        journal: Journal,
        next_ring: Callable[[], Ring],
        note: Callable[[str, tuple[str, str], str, int | None, str], None],
    ) -> None:
        self.key = key
        self.title = f"group '{key[1]}'" + (f" of namespace '{key[0]}'" if key[0] != "default" else "")
        self.number = 0
        self.members: dict[int, Member] = {}
        self.by_name: dict[str, Member] = {}
        self.terms = Terms()
        self.ring = NO_RING
        self.short = False
        self.missing: dict[str, str] = {}
        self.log = Log(journal, key)
        self.round = Round(self)
        self.data = ""
        """The state that the members have set."""
        self.data_sender = ""
        self.dropped = 0
        self.stale = 0
        self.slow_since: float | None = None
        """Since when a sender waits without progress."""
        self.removed: list[tuple[Member, str]] = []
        """The members that were removed since the last call of :meth:`take_removed`; the text is the cause if the member has
        not been notified."""
        self._journal = journal
        self._next_ring = next_ring
        self._note = note

    # -- for the round -----------------------------------------------------------------------------------------------------

    @property
    def active(self) -> list[Member]:
        """The members that get events, the oldest first."""
        return [member for member in self.members.values() if not member.passive]

    def touch(self, *members: Member) -> None:
        """The group, or these members, have changed."""
        self._journal.mark("group", self.key)
        for member in members:
            self._journal.mark("group member", (*self.key, member.number))

    def note(self, kind: str, who: str = "", why: str = "", value: int | None = None) -> None:
        self._note(kind, self.key, who, value, why)

    # -- members -------------------------------------------------------------------------------------------------------------

    def join(self, member: Member, terms: Terms, now: float) -> None:
        """Add a member, and form a view.

        :raises Mismatch: the member is there already, or its terms differ from those of the group.
        :raises LinesyncFailed: the group is being stopped.
        """
        if member.name in self.by_name:
            raise Mismatch(
                f"{member.name} is already a member of {self.title}; choose another tag, or let it leave first",
                details={"member": member.name},
            )
        if self.members and terms != self.terms:
            mine, its = terms.as_json(), self.terms.as_json()
            parts = [f"{name} {its[name]!r}, not {mine[name]!r}" for name in mine if mine[name] != its[name]]
            raise Mismatch(f"{member.name} cannot join {self.title}: the group has {'; '.join(parts)}; use the same")
        if self.stopping:
            raise LinesyncFailed(f"{member.name} cannot join {self.title}: it is being stopped; join again later")
        self.terms = terms
        member.sent = self.log.last
        self._add(member)
        self.touch(member)
        self.missing.pop(member.name, None)
        self.note("member joined", member.name)
        self._change((member,), {}, "", now)

    def _add(self, member: Member) -> None:
        self.members[member.number] = member
        self.by_name[member.name] = member

    def remove(self, members: Iterable[Member], cause: str, now: float) -> list[Outcome]:
        """Remove members in one view for one cause. Return the outcomes of their requests."""
        return self.remove_each(dict.fromkeys(members, cause), now)

    def remove_each(self, members: Mapping[Member, str], now: float) -> list[Outcome]:
        """Remove members in one view, each with a cause. Return the outcomes of their requests."""
        outcomes: list[Outcome] = []
        left: dict[str, str] = {}
        for member, cause in members.items():
            del self.members[member.number], self.by_name[member.name]
            self.touch(member)
            left[member.name] = self.missing[member.name] = cause
            self.note("member left", member.name, cause)
            outcomes += self._dismiss(member, cause)
        while len(self.missing) > MISSING_MAX:
            del self.missing[next(iter(self.missing))]
        if left:
            self._change((), left, "", now)
        return outcomes

    def _dismiss(self, member: Member, cause: str) -> list[Outcome]:
        """End the requests of a member that was removed."""
        outcomes: list[Outcome] = []
        if member.cast:
            error = Aborted(f"{member.name} is no longer a member of {self.title}: {cause}; join again")
            outcomes.append(Failed(arrival=member.cast, client=member.client, error=error))
        if member.poll:
            last = self.log.last_of((ABORT, FAILED, STOPPED), member.sent)
            events = (*last, GroupEvent(self.log.last, END, data=cause))
            outcomes.append(Granted(arrival=member.poll, client=member.client, value=Batch(events=events)))
        self.removed.append((member, "" if member.poll or member.passive else cause))
        return outcomes

    def take_removed(self) -> list[tuple[Member, str]]:
        """The members that were removed since the last call, and the cause if the member has not been notified."""
        removed, self.removed = self.removed, []
        return removed

    # -- views ---------------------------------------------------------------------------------------------------------------

    def _change(
        self, joined: tuple[Member, ...], left: dict[str, str], why: str, now: float, only: int | None = None
    ) -> None:
        """Form a view, and begin its round."""
        stopping = self.stopping
        if not stopping:
            if why != "retry":
                self.round.attempts = 0
            self.round.abort(why or _changed(joined, left), now)
        self.ring = self._next_ring()
        for member in self.members.values():
            member.partial = 0
        self.touch(*self.members.values())
        self.short = len(self.members) < self.terms.quorum
        view = ViewState(
            ring=self.ring,
            members=tuple(self.by_name),
            joined=tuple([member.name for member in joined]),
            left=left,
            missing=dict(self.missing) if self.short else {},
            why=why,
            short=self.short,
        )
        self.log.append(VIEW, data=json.dumps(view.as_json(), separators=(",", ":")))
        self.note("view formed", value=self.ring.epoch, why=why)
        if self.data_sender:
            for member in joined:
                if not member.passive:
                    self.log.append(STATE, sender=self.data_sender, data=self.data, only=(member.number,))
        if stopping:
            self.round.advance(now)
        elif not self.short and self.members:
            self.round.begin(now, only)
        if not self.members:
            self._forget()
        self.touch()

    def _forget(self) -> None:
        """The last member has left: the next one begins a new group, after the same rounds."""
        self.data = self.data_sender = ""
        self.ring, self.short = NO_RING, False
        self.slow_since = None
        self.log.trim(())

    @property
    def stopping(self) -> bool:
        """Whether its services are being stopped."""
        return self.round.state == STOPPING

    def rerun(self, why: str, now: float, only: int | None = None) -> None:
        """Form a view with the same members, for another round."""
        self._change((), {}, why, now, only)

    def stop(self, now: float) -> None:
        """Begin to stop: run the stop steps backwards. :meth:`settle` ends the group after them."""
        if self.stopping:
            return
        self.round.abort(GROUP_STOPPED, now)
        self.round.stop(now)

    # -- messages ----------------------------------------------------------------------------------------------------------

    def cast(
        self,
        arrival: str,
        member: Member,
        epoch: int,
        data: str,
        size: int,
        *,
        part: bool,
        more: bool,
        state: bool,
        now: float,
    ) -> list[Outcome]:
        """Order a message, or a part of one. The sender's reply waits while not all members have received enough.

        :param epoch: the view that the sender saw.
        :param size: the bytes of the data, which ``data`` has in the form for the line.
        :param part: it belongs to the parts that came before.
        :param more: other parts of the message follow.
        :param state: it replaces the state of the group.
        :raises Aborted: the view has ended.
        :raises LinesyncFailed: the group is short, or an earlier message of the member has not been answered.
        """
        self._refuse(member, epoch)
        if (part or more) and not size:
            raise UsageError(f"a part of a message to {self.title} is empty; send the message in fewer parts")
        if part and not member.partial:
            raise UsageError(f"the part of a message to {self.title} belongs to no message; send the first part first")
        size += member.partial if part else 0
        if len(data) > PART_MAX or size > MESSAGE_BYTES or (state and (part or more)):
            raise UsageError(
                f"the message to {self.title} is too large: it may have 1 MiB, and the state of a group {PART_MAX >> 10} KiB"
            )
        kind = (PART if more else LAST) if part else (FIRST if more else MESSAGE)
        number = self.log.append(kind, sender=member.name, data=data)
        member.partial = size if more else 0
        if state:
            self.data, self.data_sender = data, member.name
        self.touch(member)
        if self._has_room(member):
            return [Granted(arrival=arrival, client=member.client, value=Posted(number=number))]
        member.cast, member.cast_number = arrival, number
        self.touch(member)
        return []

    def _has_room(self, member: Member) -> bool:
        return self.log.outstanding(member.name) <= WINDOW and self.log.size <= ROOM_OF_LOG

    def _refuse(self, member: Member, epoch: int) -> None:
        """Refuse a message that must not be ordered."""
        if member.cast:
            raise LinesyncFailed(
                f"{member.name} must wait for the reply to its last message to {self.title} before it sends another one"
            )
        if epoch != self.ring.epoch:
            self.dropped += 1
            self.touch()
            raise Aborted(
                f"the message to {self.title} was not delivered: the view in which it was sent has ended; send it again in the"
                " new view",
                details={"cause": "view ended"},
            )
        if self.short:
            gone = [f"{name} ({cause})" for name, cause in self.missing.items()]
            raise LinesyncFailed(
                f"the message to {self.title} was not delivered: it has {len(self.members)} of at least {self.terms.quorum}"
                f" members; missing: {names_in_words(gone, len(gone))}; send it again when they have joined",
                details={"missing": dict(self.missing)},
            )

    # -- requests for events -------------------------------------------------------------------------------------------------

    def poll(self, arrival: str, member: Member) -> list[Outcome]:
        """A member asks for the next events. An earlier request of it ends without events."""
        outcomes: list[Outcome] = []
        if member.poll and member.poll != arrival:
            outcomes.append(Granted(arrival=member.poll, client=member.client, value=Batch(events=())))
        member.poll = arrival
        self.touch(member)
        return outcomes

    def report(self, member: Member, number: int, result: str, text: str, now: float) -> list[Outcome]:
        """A member reports the end of a step, or of a service."""
        if result == "ended":
            service = member.services.get(number)
            if service is not None:
                why = f"service {number} '{service.name}' has ended" + (f": {text}" if text else "")
                self.note("service ended", member.name, why, number)
                if number in member.active:
                    member.ended[number] = text[:WHY_CHARS]
                    self.touch(member)
                if service.keystone:
                    self.stop(now)
                elif self.round.running and number not in member.active:
                    self.round.service_ended(member, number, why, now)
                    return self._after_failure(member, now)
            return []
        if not self.round.report(member, number, result, text, now):
            self.stale += 1
            self.touch()
            return []
        return self._after_failure(member, now)

    def _after_failure(self, member: Member, now: float) -> list[Outcome]:
        if self.round.state == "failed" and self.terms.on_failure == "exclude":
            return self.remove([member], f"{EXCLUDED}: {self.round.why}", now)
        return []

    # -- time -----------------------------------------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        """When to call :meth:`handle_timer`, or None."""
        times = [member.deadline for member in self.active]
        times.append(self.round.retry_at)
        times.append(self.slow_since + SLOW if self.slow_since is not None else None)
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> list[Outcome]:
        """Fail late steps, begin the next try of a round, and remove a member for which senders wait."""
        outcomes: list[Outcome] = []
        late = [(member.deadline, member) for member in self.active if member.deadline is not None]
        due = min((one for one in late if one[0] <= now), key=lambda one: one[0], default=None)
        if due is not None:
            self.round.late(due[1], now)
            outcomes += self._after_failure(due[1], now)
        if self.round.retry_at is not None and self.round.retry_at <= now:
            self.rerun("retry", now, None if self.round.only < 0 else self.round.only)
        if self.slow_since is not None and self.slow_since + SLOW <= now:
            self.slow_since = now
            self.touch()
            outcomes += self.remove(self._slowest(), TOO_SLOW, now)
        return outcomes

    def extend(self, now: float) -> None:
        """The hub itself was stalled or away: all members have their time again."""
        for member in self.active:
            if member.steps:
                member.began = now
                self.touch(member)
        if self.slow_since is not None:
            self.slow_since = now
            self.touch()

    @property
    def _crowded(self) -> bool:
        """Whether a member that asks for nothing holds up others."""
        return len(self.log) > LOG_MAX or any(member.cast for member in self.active)

    def _slowest(self) -> list[Member]:
        """The members to which least was sent, if they hold up others."""
        floor = min((member.sent for member in self.active), default=0)
        return [one for one in self.active if self._crowded and one.sent == floor < self.log.last and not one.poll]

    # -- after each input ------------------------------------------------------------------------------------------------------

    def settle(self, now: float) -> list[Outcome]:
        """Send events and replies."""
        outcomes: list[Outcome] = []
        if self.round.state == STOPPED:
            outcomes += self.remove(list(self.members.values()), GROUP_STOPPED, now)
            self.round.state = NONE
            self.touch()
        for member in self.active:
            if member.poll and member.sent < self.log.last:
                outcomes += self._serve(member)
        trimmed = self.log.trim([member.sent for member in self.active])
        if trimmed:
            outcomes += self._answer_senders()
        if not self._crowded:
            slow_since = None
        else:
            slow_since = now if trimmed or self.slow_since is None else self.slow_since
        if slow_since != self.slow_since:
            self.slow_since = slow_since
            self.touch()
        return outcomes

    def _serve(self, member: Member) -> list[Outcome]:
        """Answer the request of a member if there are events for it."""
        self.touch(member)
        events = self.log.read(member.sent, member.number, {step.number for step in member.steps})
        if not events:
            member.sent = self.log.last
            return []
        arrival, member.poll = member.poll, ""
        member.sent = events[-1].number
        return [Granted(arrival=arrival, client=member.client, value=Batch(events=tuple(events)))]

    def _answer_senders(self) -> list[Outcome]:
        """Answer the senders that have room again."""
        outcomes: list[Outcome] = []
        for member in self.active:
            if member.cast and self._has_room(member):
                posted = Posted(number=member.cast_number)
                outcomes.append(Granted(arrival=member.cast, client=member.client, value=posted))
                member.cast = ""
                self.touch(member)
        return outcomes

    # -- state -----------------------------------------------------------------------------------------------------------------

    def status(self, waiting: int, now: float) -> GroupState:
        slow = set(self._slowest())
        return GroupState(
            namespace=self.key[0],
            name=self.key[1],
            ring=self.ring,
            terms=self.terms,
            short=self.short,
            missing=dict(self.missing),
            members=tuple(
                [
                    GroupMemberState(
                        name=member.name,
                        client=member.client.number,
                        since=now - member.since,
                        behind=0 if member.passive else self.log.last - member.sent,
                        slow=member in slow,
                        services=self.round.service_states(member, now),
                    )
                    for member in self.members.values()
                ]
            ),
            round=self.round.status(now),
            rounds=self.round.past_states(now),
            dropped=self.dropped,
            stale=self.stale,
            waiting=waiting,
        )

    def kept(self) -> KeptGroup:
        return KeptGroup(
            self.number,
            self.terms,
            self.ring,
            self.short,
            dict(self.missing),
            self.log.last,
            self.data,
            self.data_sender,
            self.dropped,
            self.stale,
            self.slow_since,
            self.round.kept(),
            tuple(self.round.past),
        )

    def restore(self, kept: KeptGroup, shift: float) -> None:
        self.number, self.terms, self.ring, self.short = kept.number, kept.terms, kept.ring, kept.short
        self.missing = dict(kept.missing)
        self.log.last = kept.last
        self.data, self.data_sender = kept.data, kept.data_sender
        self.dropped, self.stale = kept.dropped, kept.stale
        self.slow_since = kept.slow_since + shift if kept.slow_since is not None else None
        self.round.restore(kept.round, kept.rounds, shift)

    def put_back(self, member: Member) -> None:
        """Add a stored member. Members are added in the order in which they joined."""
        self._add(member)


def _changed(joined: tuple[Member, ...], left: dict[str, str]) -> str:
    """Why a view ended, as a clause."""
    parts = [f"{member.name} joined" for member in joined]
    parts += [f"{name} left ({cause})" for name, cause in left.items()]
    return names_in_words(parts, len(parts))
