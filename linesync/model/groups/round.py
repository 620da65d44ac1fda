"""The round of services that runs in the current view of a group.

1. The services of all members are merged and sorted by id. A member has no step for a service that it does not have, and the
   other members do not wait for it.
2. ``init`` runs on all members for all services. With ``in-turn``, each ``init`` runs directly before its ``process``.
3. Then each service runs ``process``, in order. The barrier of a service opens when ``process`` is done on each member that has
   the service. Then its ``activate`` runs together with the ``process`` of the next service. With ``activate = "before"``, each
   member runs ``activate`` before the barrier. With ``serialize``, the members run ``process`` one after the other, in the order
   of the view.
4. The round is completed when the last service is activated on all its members. Without services, it is completed immediately.
5. A change of the view aborts the round. A failed or late step also aborts the round. Then the terms of the group decide: the
   group tries again after a delay or excludes the member, or the round stays failed.
6. When the group is stopped, ``stop`` runs for one service after the other, in reverse order, on the members that have activated
   the service.

A member owes a report for the last step that it was asked to run: the hub and the other members wait for this report. The
report of a step includes the steps before it. So the barrier needs no other state, and a member that has left cannot keep it
closed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..kept.groups import KeptPastRound, KeptRound
from ..participants import names_in_words, seconds_in_words
from ..state.group import GroupRoundState, GroupServiceState, Ring, RoundState, Terms
from .log import ABORT, ACTIVATE, COMPLETED, FAILED, INIT, PROCESS, STOP, STOPPED, Log
from .member import Member, Step

__all__ = ["Round", "merge"]

NONE, STOPPING = "none", "stopping"
RUNNING = (INIT, PROCESS, ACTIVATE)
"""The states of a round that has begun and has not ended."""
STATES = (NONE, *RUNNING, COMPLETED, FAILED, STOPPING, STOPPED)
PAST_MAX = 20  # the maximum number of earlier rounds of a group that are kept
BACKOFF_MAX = 60.0  # seconds: the longest delay before a retry


class Board(Protocol):
    """The part of a group that its round uses."""

    log: Log
    members: dict[int, Member]
    terms: Terms
    ring: Ring

    @property
    def active(self) -> list[Member]: ...
    def touch(self) -> None: ...
    def touch_members(self, *members: Member) -> None: ...
    def touch_past(self, epoch: int) -> None: ...
    def note(self, kind: str, who: str = "", why: str = "", value: int | None = None) -> None: ...


class Round:
    """The round of one group. Each group has one object, and its round begins again with each view."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.state = NONE
        self.services: tuple[int, ...] = ()
        self.at = 0
        """The index of the current service in ``services``."""
        self.ran: set[int] = set()
        """With ``serialize``: the members that were asked to run the current service; empty otherwise."""
        self.since = 0.0
        self.began = 0.0
        self.why = ""
        self.failed = ("", -1)
        """The name of the member with the failed step, and the id of the service."""
        self.mixed: tuple[str, ...] = ()
        self.only = -1
        """The only service of the round; -1 for all."""
        self.attempts = 0
        self.retry_at: float | None = None
        self.past: dict[int, KeptPastRound] = {}
        """The earlier rounds by the epochs of their views, the oldest first."""

    @property
    def running(self) -> bool:
        """Whether the round has begun and has not ended."""
        return self.state in RUNNING

    # -- a round ---------------------------------------------------------------------------------------------------------

    def begin(self, now: float, only: int | None = None) -> None:
        """Begin a round in the current view.

        :param only: the only service to run; None for all.
        """
        board = self._board
        ids, self.mixed = merge(board.active)
        self.only = -1 if only is None else only
        self.services = tuple([id_ for id_ in ids if only in (None, id_)])
        for member in board.active:
            member.taking = set(member.services)
            board.touch_members(member)
        self.at, self.why, self.failed, self.retry_at, self.began = 0, "", ("", -1), None, now
        if not self.services:
            self._complete(now)
            return
        board.note("round begun", value=board.ring.epoch, why="; ".join(self.mixed))
        if board.terms.init == "first":
            self._enter(INIT, now)
            for service in self.services:
                self._issue(INIT, service, board.active, now)
        else:
            self._process(now)
        self.advance(now)

    def advance(self, now: float) -> None:
        """Continue the round until a member owes a report, or the round ends."""
        board = self._board
        while (self.running or self.state == STOPPING) and not any(member.steps for member in board.active):
            if self.state == INIT:
                self._process(now)
            elif self.state == PROCESS:
                service = self.services[self.at]
                if self._next_in_turn(service, now):
                    continue
                if board.terms.activate == "after":
                    self._issue(ACTIVATE, service, board.active, now)
                self.at += 1
                if self.at < len(self.services):
                    self._process(now)
                else:
                    self._enter(ACTIVATE, now)
            elif self.state == ACTIVATE:
                self.attempts = 0
                self._complete(now)
            else:
                self._stop_next(now)

    def _process(self, now: float) -> None:
        """Begin ``process`` of the current service."""
        board, service = self._board, self.services[self.at]
        self.ran = set()
        self._enter(PROCESS, now)
        owners = [member for member in board.active if service in member.taking]
        if board.terms.init != "first":
            self._issue(INIT, service, owners, now)
        if any(member.services[service].serialize for member in owners):
            owners = owners[:1]
            self.ran = {member.number for member in owners}
        self._issue(PROCESS, service, owners, now)

    def _next_in_turn(self, service: int, now: float) -> bool:
        """With ``serialize``: ask the next member to run the service. Return False if there is no further member."""
        board = self._board
        if not self.ran:
            return False
        for member in board.active:
            if service in member.taking and member.number not in self.ran:
                self.ran.add(member.number)
                board.touch()
                self._issue(PROCESS, service, [member], now)
                return True
        return False

    def _issue(self, kind: str, service: int, members: Iterable[Member], now: float) -> None:
        """Ask the members that have a service to run a step of it."""
        board = self._board
        targets = [member for member in members if service in (member.services if kind == STOP else member.taking)]
        if not targets:
            return
        to_all = len(targets) == len(board.active)
        number = board.log.append(kind, service, only=None if to_all else tuple([target.number for target in targets]))
        for member in targets:
            member.owe(Step(number, kind, service), now)
        board.touch_members(*targets)

    def _enter(self, state: str, now: float) -> None:
        self.state, self.since = state, now
        self._board.touch()

    def _complete(self, now: float) -> None:
        self._enter(COMPLETED, now)
        self._board.log.append(COMPLETED, data="; ".join(self.mixed))
        self._end("completed", "", now)

    def _end(self, outcome: str, why: str, now: float) -> None:
        board = self._board
        names = tuple([member.name for member in board.members.values()])
        self.past[board.ring.epoch] = KeptPastRound(
            ring=board.ring,
            members=names,
            services=self.services,
            outcome=outcome,
            why=why,
            began=self.began,
            ended=now,
        )
        board.touch_past(board.ring.epoch)
        if len(self.past) > PAST_MAX:
            oldest = next(iter(self.past))
            del self.past[oldest]
            board.touch_past(oldest)
        board.note(f"round {outcome}", value=board.ring.epoch, why=why)

    # -- reports -----------------------------------------------------------------------------------------------------------

    def report(self, member: Member, number: int, result: str, text: str, now: float) -> bool:
        """Handle the report of a member: a step is done, must be called again, or has failed. Return False if the member does not
        owe a report for this step."""
        board = self._board
        step = next((step for step in member.steps if step.number == number), None)
        if step is None:
            return False
        board.touch_members(member)
        member.done(number if result != "failed" else number - 1, now)
        if result == "failed":
            name = self._name(member, step.service)
            why = f"{member.name}: {step.kind} of {name} failed" + (f": {text}" if text else "") + self._waiting(member)
            self._fail(member, step.service, why, now)
            return True
        if result == "again" and step.kind == PROCESS:
            self._issue(PROCESS, step.service, [member], now)
        elif step.kind == PROCESS and board.terms.activate == "before":
            self._issue(ACTIVATE, step.service, [member], now)
        self.advance(now)
        return True

    def late(self, member: Member, now: float) -> None:
        """Handle a member that has not reported its steps in time."""
        known = [step for step in member.steps if step.number == member.runs]
        step, *later = known or member.steps
        name, limit = self._name(member, step.service), seconds_in_words(now - member.began)
        others = ", or a later step," if later else ""
        why = f"{member.name}: {step.kind} of {name}{others} was not done within {limit}{self._waiting(member)}"
        self._fail(member, step.service, why, now)

    def service_ended(self, member: Member, service: int, why: str, now: float) -> None:
        """Handle a service that has ended by itself before the round was completed."""
        self._fail(member, service, f"{member.name}: {why}{self._waiting(member)}", now)

    def _waiting(self, member: Member) -> str:
        """A clause that names the members that wait for this member; empty if there are none."""
        waiting = [other.name for other in self._board.active if other is not member and not other.steps]
        return f"; waiting for it: {names_in_words(waiting, len(waiting))}" if waiting else ""

    def _name(self, member: Member, service: int) -> str:
        return f"service {service} '{member.services[service].name}'"

    def _fail(self, member: Member, service: int, why: str, now: float) -> None:
        """Handle a failed or late step of a member: abort the round on all members, and react as the terms say."""
        board = self._board
        if self.state == STOPPING:
            board.note("round failed", member.name, why)
            if member.steps:
                member.done(member.steps[-1].number, now)
            board.touch_members(member)
            self.advance(now)
            return
        self.attempts += 1
        retries = board.terms.on_failure == "retry" and self.attempts <= board.terms.retries
        delay = min(board.terms.backoff * 2 ** min(self.attempts - 1, 16), BACKOFF_MAX)
        self._void(why, now)
        self.retry_at = now + delay if retries else None
        self.why, self.failed = why, (member.name, service)
        self._enter(FAILED, now)
        after = {
            "retry": f"the next try begins in {delay:g} s" if retries else "no further try follows",
            "exclude": f"{member.name} is excluded",
            "stop": "the round stops here",
        }[board.terms.on_failure]
        board.log.append(FAILED, data=f"{why}; {after}")
        self._end("failed", why, now)

    def abort(self, why: str, now: float) -> None:
        """End the round, because the view changes or the group is stopped."""
        if self.running:
            self._void(why, now)
            self._end("aborted", why, now)
        self._enter(NONE, now)
        self.retry_at = None

    def _void(self, why: str, now: float) -> None:
        board = self._board
        board.log.drop_steps()
        board.log.append(ABORT, data=why)
        for member in board.active:
            if member.steps:
                member.steps.clear()
                board.touch_members(member)
        board.touch()

    # -- stopping -----------------------------------------------------------------------------------------------------------

    def stop(self, now: float) -> None:
        """Begin to run the ``stop`` steps, the last service first."""
        ids, _ = merge(self._board.active)
        self.services, self.at, self.began = tuple(ids), len(ids), now
        self._enter(STOPPING, now)
        self.advance(now)

    def _stop_next(self, now: float) -> None:
        self.at -= 1
        if self.at < 0:
            self.at = 0
            self._board.log.append(STOPPED)
            self._enter(STOPPED, now)
            return
        service = self.services[self.at]
        self._issue(STOP, service, [member for member in self._board.active if service in member.active], now)
        self._board.touch()

    # -- state ---------------------------------------------------------------------------------------------------------------

    def status(self, now: float) -> RoundState:
        busy = [member.name for member in self._board.active if member.steps]
        turn = self.state in (PROCESS, STOPPING) and self.at < len(self.services)
        return RoundState(
            state=self.state,
            service=self.services[self.at] if turn else None,
            services=self.services,
            since=now - self.since,
            why=self.why,
            mixed=self.mixed,
            waits_for=tuple(busy),
        )

    def past_states(self, now: float) -> tuple[GroupRoundState, ...]:
        return tuple(
            [
                GroupRoundState(
                    ring=past.ring,
                    members=past.members,
                    services=past.services,
                    outcome=past.outcome,
                    why=past.why,
                    began=now - past.began,
                    seconds=past.ended - past.began,
                )
                for past in self.past.values()
            ]
        )

    def service_states(self, member: Member, now: float) -> tuple[GroupServiceState, ...]:
        """The states of the services of a member, in order."""
        steps = {step.service: step.kind for step in member.steps}
        states = []
        for service, announced in sorted(member.services.items()):
            state = steps.get(service) or self._service_state(member, service)
            seconds = now - member.began if service in steps else None
            why = self.why if state == FAILED else member.ended.get(service, "")
            states.append(GroupServiceState(service, announced.name, announced.version, state, seconds, why))
        return tuple(states)

    def _service_state(self, member: Member, service: int) -> str:
        if service in member.ended:
            return "ended"
        if service not in self.services:
            return "active" if service in member.active else "waiting"
        place = self.services.index(service)
        if self.state in (NONE, INIT) or member.joining:
            return "waiting"
        if self.state == FAILED:
            return "failed" if self.failed == (member.name, service) else "aborted"
        if self.state in (STOPPING, STOPPED):
            return "active" if service in member.active else "stopped"
        if self.state == PROCESS and place == self.at:
            return "done" if not self.ran or member.number in self.ran else "waiting"
        return "waiting" if place > self.at else "active"

    def kept(self) -> KeptRound:
        return KeptRound(
            state=self.state,
            services=self.services,
            at=self.at,
            ran=tuple(sorted(self.ran)),
            since=self.since,
            began=self.began,
            why=self.why,
            failed_member=self.failed[0],
            failed_service=self.failed[1],
            mixed=self.mixed,
            only=self.only,
            attempts=self.attempts,
            retry_at=self.retry_at,
        )

    def restore(self, kept: KeptRound, shift: float) -> None:
        """Continue a stored round; raises ValueError."""
        most = len(kept.services) - (kept.state == PROCESS)
        if kept.state not in STATES or not 0 <= kept.at <= most:
            raise ValueError(f"its round has the state {kept.state!r:.20} at service {kept.at} of {len(kept.services)}")
        self.state, self.services, self.at = kept.state, kept.services, kept.at
        self.ran, self.since, self.began = set(kept.ran), kept.since + shift, kept.began + shift
        self.failed = (kept.failed_member, kept.failed_service)
        self.only = kept.only
        self.why, self.mixed, self.attempts = kept.why, kept.mixed, kept.attempts
        self.retry_at = kept.retry_at + shift if kept.retry_at is not None else None


def merge(members: Iterable[Member]) -> tuple[list[int], tuple[str, ...]]:
    """The ids of the services of all members in order, and a sentence for each service with different versions."""
    versions: dict[int, dict[str, list[str]]] = {}
    for member in members:
        for announced in member.services.values():
            title = f"'{announced.name}' {announced.version}".strip()
            versions.setdefault(announced.id, {}).setdefault(title, []).append(member.name)
    mixed = []
    for service, found in sorted(versions.items()):
        if len(found) > 1:
            parts = [f"{version} on {names_in_words(names, len(names))}" for version, names in found.items()]
            mixed.append(f"service {service} has different versions: {'; '.join(parts)}")
    return sorted(versions), tuple(mixed)
