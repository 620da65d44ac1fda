"""One group: its members, its views, its quorum, and its messages.

1. Each change of the members makes a view with an id that never repeats. All members that go at the same time leave in one
   view. A line that is lost for less than the lease of its host changes nothing.
2. A member that joins is in the next view. This view is formed immediately if all members have acknowledged the current view.
   Otherwise it is formed when they have acknowledged it, after ``SHARED`` seconds, or when a member leaves. Members that join
   at the same time therefore share a few views. Otherwise each of n members would get n views with n names, which takes minutes
   on serial lines.
3. The hub orders everything in one log (:mod:`.log`). All members therefore see the same views and messages in the same
   order.
4. Below its quorum a group is *short*: it forms views, but it delivers no message and runs no round.
5. The state that the members set (``state``) goes to each newcomer, directly after its first view with the quorum.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

from ...errors import Aborted, LinesyncFailed, Mismatch
from ...group_kinds import ABORT, ENDED, FAILED, LEFT, REMOVED, STATE, STOPPED, VIEW
from ..decisions import Batch, Failed, Granted, GroupEvent, Outcome
from ..journal import Journal
from ..kept.groups import KeptGroup
from ..participants import names_in_words
from ..state.group import NO_RING, GroupMemberState, GroupState, Ring, Terms, ViewState
from .log import Log, Room
from .member import Member
from .messages import SLOW, Messages
from .round import Round
from .transitions import FULL_VIEW, SHORT_VIEW, STOPPING

__all__ = ["Group", "kind_of_end"]

SHARED = 2.0  # seconds that a member waits for its first view while others have not acknowledged the current view
WHY_CHARS = 1000  # the maximum length of the reason why a service has ended, in characters
SERVICES_SHOWN = 2000  # the maximum number of services in the state of a group; above that, UNEVENTFUL ones are omitted
UNEVENTFUL = ("waiting", "done", "active")  # the states of services that are omitted first
MISSING_MAX = 100  # the maximum number of missing members that are named

GAVE_UP, EXCLUDED, TOO_SLOW, GROUP_STOPPED = "gave up", "excluded", "too slow", "the group was stopped"
"""Causes of the end of a membership, besides ``left`` and the causes of lost hosts and clients."""


class Group:
    """One group.

    :param key: its namespace and name.
    :param next_ring: returns the id of the next view.
    :param note: notes a change for followers.
    :param room: the room of the logs of all groups.
    """

    def __init__(
        self,
        key: tuple[str, str],
        journal: Journal,
        next_ring: Callable[[], Ring],
        note: Callable[[str, tuple[str, str], str, int | None, str], None],
        room: Room,
    ) -> None:
        self.key = key
        self.title = f"group '{key[1]}'" + (f" of namespace '{key[0]}'" if key[0] != "default" else "")
        self.number = 0
        self.members: dict[int, Member] = {}
        self.by_name: dict[str, Member] = {}
        self.terms = Terms()
        self.ring = NO_RING
        self.short = False
        self.view = 0
        """The number of the view in the log."""
        self.missing: dict[str, str] = {}
        self.log = Log(journal, key, room)
        self.round = Round(self)
        self.messages = Messages(self, journal)
        self.stale = 0
        self.removed: list[tuple[Member, str]] = []
        """The members that were removed since the last call of :meth:`take_removed`; the text is the cause if the member has
        not been notified."""
        self._journal = journal
        self._next_ring = next_ring
        self._note = note

    # -- for the round -----------------------------------------------------------------------------------------------------

    @property
    def active(self) -> list[Member]:
        """The members of the view that get events, the oldest first."""
        return [member for member in self.in_view if not member.passive]

    @property
    def in_view(self) -> list[Member]:
        """The members of the view, the oldest first."""
        return [member for member in self.members.values() if not member.joining]

    @property
    def _joining(self) -> list[Member]:
        """The members that are not in the view yet, the oldest first."""
        return [member for member in self.members.values() if member.joining]

    def touch(self) -> None:
        """Mark the group as changed, but not its members."""
        self._journal.mark("group", self.key)

    def touch_members(self, *members: Member) -> None:
        """Mark these members as changed, but not their services."""
        for member in members:
            self._journal.mark("group member", (*self.key, member.number))

    def touch_services(self, member: Member) -> None:
        """Mark a member and its services as changed."""
        self.touch_members(member)
        self._journal.mark("group services", (*self.key, member.number))

    def touch_past(self, epoch: int) -> None:
        """Mark an earlier round as added or removed."""
        self._journal.mark("group past", (*self.key, epoch))

    def note(self, kind: str, who: str = "", why: str = "", value: int | None = None) -> None:
        self._note(kind, self.key, who, value, why)

    # -- members -------------------------------------------------------------------------------------------------------------

    def join(self, member: Member, terms: Terms, now: float) -> None:
        """Add a member, which will be in the next view.

        :raises Mismatch: the member is there already, or its terms differ from those of the group.
        :raises LinesyncFailed: the group is being stopped.
        """
        if member.name in self.by_name:
            raise Mismatch(
                f"{member.name} is already a member of {self.title}; choose another tag, or let it leave first",
                details={"member": member.name},
            )
        if self.members and member.passive:  # a term that it does not name has the value of the group
            named = {name: value for name, value in terms.as_dict().items() if value != Terms.FIELDS[name][1]}
            terms = self.terms.but(**named)
        if self.members and terms != self.terms:
            mine, its = terms.as_json(), self.terms.as_json()
            parts = [f"{name} {its[name]!r}, not {mine[name]!r}" for name in mine if mine[name] != its[name]]
            raise Mismatch(f"{member.name} cannot join {self.title}: the group has {'; '.join(parts)}; use the same")
        if self.stopping:
            raise LinesyncFailed(f"{member.name} cannot join {self.title}: it is being stopped; join again later")
        self.terms = terms
        member.sent = self.log.last
        self._add(member)
        self.touch_services(member)
        self.touch()
        self.note("member joined", member.name)

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
            self.touch_services(member)
            if not member.joining:
                left[member.name] = self.missing[member.name] = cause
            self.note("member left", member.name, cause)
            outcomes += self._dismiss(member, cause)
        while len(self.missing) > MISSING_MAX:
            del self.missing[next(iter(self.missing))]
        if left:
            self._change(left, "", now)
        elif members and not self.members:
            self._empty()
        return outcomes

    def _dismiss(self, member: Member, cause: str) -> list[Outcome]:
        """End the requests of a member that was removed."""
        outcomes: list[Outcome] = []
        if member.cast:
            error = Aborted(f"{member.name} is no longer a member of {self.title}: {cause}; join again")
            outcomes.append(Failed(arrival=member.cast, client=member.client, error=error))
        if member.poll:
            last = self.log.last_of((ABORT, FAILED, STOPPED), member.sent)
            events = (*last, GroupEvent(self.log.last, kind_of_end(cause), data=cause))
            outcomes.append(Granted(arrival=member.poll, client=member.client, value=Batch(events=events)))
        self.removed.append((member, "" if member.poll or member.passive else cause))
        return outcomes

    def take_removed(self) -> list[tuple[Member, str]]:
        """The members that were removed since the last call, and the cause if the member has not been notified."""
        removed, self.removed = self.removed, []
        return removed

    # -- views ---------------------------------------------------------------------------------------------------------------

    def _join_due(self, now: float) -> bool:
        """Whether a view with the members that are joining is formed now."""
        joining = self._joining
        return bool(joining) and not self.stopping and (self._acknowledged or joining[0].since + SHARED <= now)

    @property
    def _acknowledged(self) -> bool:
        """Whether all members have received the current view, and ask for the next events."""
        return all(member.poll and member.sent >= self.view for member in self.active)

    def _change(self, left: dict[str, str], why: str, now: float, only: int | None = None) -> None:
        """Form a view, and begin its round."""
        stopping = self.stopping
        joined = self._joining
        if not stopping:
            if why != "retry":
                self.round.attempts = 0
            self.round.abort(why or _changed(joined, left), now)
        self.ring = self._next_ring()
        for member in self.members.values():
            member.partial, member.poster = 0, ""
        for member in joined:
            member.sent = self.log.last
            self.missing.pop(member.name, None)
        self.touch_members(*self.members.values())
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
        self.view = self.log.append(VIEW, data=json.dumps(view.as_json(), separators=(",", ":")))
        self.note("view formed", value=self.ring.epoch, why=why)
        self._send_state()
        if stopping:
            self.round.advance(now)
        elif not self.short and self.members:
            self.round.begin(now, only)
        if not self.members:
            self._empty()
        self.touch()

    def _send_state(self) -> None:
        """Send the state of the group to the members that get it with this view."""
        event = SHORT_VIEW if self.short else FULL_VIEW
        numbers = [member.number for member in self.members.values() if member.view(event) and not member.passive]
        if numbers and self.messages.data_sender:
            self.log.append(STATE, sender=self.messages.data_sender, data=self.messages.data, only=tuple(numbers))

    def _empty(self) -> None:
        """Reset the group, because its last member has left. The next member begins a new group, which keeps the
        earlier rounds."""
        self.ring, self.short, self.view = NO_RING, False, 0
        self.messages.forget()
        self.log.trim(())

    @property
    def stopping(self) -> bool:
        """Whether its services are being stopped."""
        return self.round.state == STOPPING

    def rerun(self, why: str, now: float, only: int | None = None) -> None:
        """Form a view with the same members, for another round."""
        self._change({}, why, now, only)

    def stop(self, now: float) -> None:
        """Begin to stop: run the stop steps in reverse order. :meth:`settle` ends the group after them."""
        if self.stopping:
            return
        self.round.stop(GROUP_STOPPED, now)

    # -- requests for events -------------------------------------------------------------------------------------------------

    def poll(self, arrival: str, member: Member, *, runs: int = 0, full: bool = False) -> list[Outcome]:
        """Handle the request of a member for the next events. An earlier request of the member ends without events."""
        outcomes: list[Outcome] = []
        if member.poll and member.poll != arrival:
            outcomes.append(Granted(arrival=member.poll, client=member.client, value=Batch(events=())))
        member.poll, member.runs, member.full = arrival, runs, full
        self.touch_members(member)
        return outcomes

    def report(self, member: Member, number: int, result: str, text: str, now: float) -> list[Outcome]:
        """Handle the report of a member about the end of a step or of a service."""
        if result == "ended" and not member.joining:
            service = member.services.get(number)
            if service is not None:
                why = f"service {number} '{service.name}' has ended" + (f": {text}" if text else "")
                self.note("service ended", member.name, why, number)
                if number in member.active:
                    member.ended[number] = text[:WHY_CHARS]
                    self.touch_members(member)
                if service.keystone:
                    self.stop(now)
                elif self.round.running and number not in member.active:
                    self.round.service_ended(member, number, why, now)
                    return self._after_failure(member, now)
            return []
        if result == "ended" or not self.round.report(member, number, result, text, now):
            self.stale += 1
            self.touch()
            return []
        return self._after_failure(member, now)

    def _after_failure(self, member: Member, now: float) -> list[Outcome]:
        if self.round.state == FAILED and self.round.policy == "exclude":
            return self.remove([member], f"{EXCLUDED}: {self.round.why}", now)
        return []

    # -- time -----------------------------------------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        """When to call :meth:`handle_timer`, or None."""
        times = [member.deadline for member in self.active]
        times.append(self.round.retry_at)
        times += [member.since + SHARED for member in self._joining[:1] if not self.stopping]
        slow_since = self.messages.slow_since
        times.append(slow_since + SLOW if slow_since is not None else None)
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
        slow_since = self.messages.slow_since
        if slow_since is not None and slow_since + SLOW <= now:
            outcomes += self.remove(self.messages.slowest(), TOO_SLOW, now)
            self.messages.watch(now, progress=True)
        return outcomes

    def extend(self, now: float) -> None:
        """Give all members their full time again, because the hub itself was stalled or away."""
        for member in self.active:
            if member.steps:
                member.began = now
                self.touch_members(member)
        if self.messages.slow_since is not None:
            self.messages.wait_since(now)

    # -- after each input ------------------------------------------------------------------------------------------------------

    def settle(self, now: float) -> list[Outcome]:
        """Send events and replies."""
        outcomes: list[Outcome] = []
        if self.round.state == STOPPED:
            outcomes += self.remove(list(self.members.values()), GROUP_STOPPED, now)
            if self.round.state == STOPPED:  # there was no member, so no view has ended
                self.round.abort(GROUP_STOPPED, now)
        if self._join_due(now):
            self._change({}, "", now)
        for member in self.active:
            if member.poll and member.sent < self.log.last:
                outcomes += self._serve(member)
        trimmed = self.log.trim([member.sent for member in self.active])
        if trimmed:
            outcomes += self.messages.answer_senders()
        self.messages.watch(now, progress=trimmed)
        return outcomes

    def _serve(self, member: Member) -> list[Outcome]:
        """Answer the request of a member if there are events for it."""
        if member.full and not self.log.last_of((ABORT,), member.sent):
            return []
        self.touch_members(member)
        events = self.log.read(member.sent, member.number, {step.number for step in member.steps})
        if not events:
            member.sent = self.log.last
            return []
        arrival, member.poll = member.poll, ""
        member.sent = events[-1].number
        return [Granted(arrival=arrival, client=member.client, value=Batch(events=tuple(events)))]

    # -- state -----------------------------------------------------------------------------------------------------------------

    def status(self, waiting: int, now: float) -> GroupState:
        return GroupState(
            namespace=self.key[0],
            name=self.key[1],
            ring=self.ring,
            terms=self.terms,
            short=self.short,
            missing=dict(self.missing),
            members=tuple(self._member_states(now)),
            joining=tuple([member.name for member in self._joining]),
            round=self.round.status(now),
            rounds=self.round.past_states(now),
            dropped=self.messages.dropped,
            stale=self.stale,
            waiting=waiting,
        )

    def _member_states(self, now: float) -> list[GroupMemberState]:
        """The states of the members. A reply has a limited size, so only some of very many services are shown."""
        slow = set(self.messages.slowest())
        all_shown = sum(len(member.services) for member in self.in_view) <= SERVICES_SHOWN
        room, states = SERVICES_SHOWN, []
        for member in self.in_view:
            services = self.round.service_states(member, now)
            if not all_shown:
                services = tuple([one for one in services if one.state not in UNEVENTFUL])[:room]
                room -= len(services)
            states.append(
                GroupMemberState(
                    name=member.name,
                    client=member.client.number,
                    since=now - member.since,
                    behind=0 if member.passive else self.log.last - member.sent,
                    slow=member in slow,
                    services=services,
                )
            )
        return states

    def kept(self) -> KeptGroup:
        return KeptGroup(
            number=self.number,
            terms=self.terms,
            ring=self.ring,
            short=self.short,
            view=self.view,
            missing=dict(self.missing),
            last=self.log.last,
            dropped=self.messages.dropped,
            stale=self.stale,
            slow_since=self.messages.slow_since,
            round=self.round.kept(),
        )

    def restore(self, kept: KeptGroup, shift: float) -> None:
        self.number, self.terms, self.ring, self.short = kept.number, kept.terms, kept.ring, kept.short
        self.missing, self.view = dict(kept.missing), kept.view
        self.log.last = kept.last
        self.messages.dropped, self.stale = kept.dropped, kept.stale
        self.messages.slow_since = kept.slow_since + shift if kept.slow_since is not None else None
        self.round.restore(kept.round, shift)

    def put_back(self, member: Member) -> None:
        """Add a stored member. Members are added in the order in which they joined."""
        self._add(member)


def kind_of_end(cause: str) -> str:
    """The kind of the last event of a member that is removed for a cause."""
    return LEFT if cause == LEFT else ENDED if cause == GROUP_STOPPED else REMOVED


def _changed(joined: Iterable[Member], left: dict[str, str]) -> str:
    """Why a view ended, as a clause."""
    parts = [f"{member.name} joined" for member in joined]
    parts += [f"{name} left ({cause})" for name, cause in left.items()]
    return names_in_words(parts, len(parts))
