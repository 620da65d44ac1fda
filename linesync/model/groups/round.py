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

The transitions are a table (:mod:`.transitions`), which this class runs.

A member owes a report for the last step that it was asked to run: the hub and the other members wait for this report. The
report of a step includes the steps before it. The barrier therefore needs no other state, and a member that has left cannot
keep it closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from ...group_kinds import ABORT, ACTIVATE, COMPLETED, FAILED, INIT, PROCESS, STOP, STOPPED
from ..kept.groups import KeptPastRound, KeptRound
from ..participants import names_in_words, seconds_in_words
from ..state.group import GroupRoundState, GroupServiceState, Ring, RoundState, Terms
from .group_limits import BACKOFF_MAX
from .log import Log
from .member import Member, Step
from .transitions import (
    CHANGE,
    FAILURE,
    NONE,
    REPORTED,
    ROUND,
    ROUND_STATES,
    RUNNING,
    STOP_GROUP,
    STOPPING,
    VIEW,
)

__all__ = ["Round", "merge"]

PAST_MAX = 20  # the maximum number of earlier rounds of a group that are kept


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
        self.policy = "retry"
        """The reaction to the last failure."""
        self.attempts = 0
        self.retry_at: float | None = None
        self.past: dict[int, KeptPastRound] = {}
        """The earlier rounds by the epochs of their views, the oldest first."""
        self._reason = ""
        """Why the round fails or ends now."""
        self._conditions: dict[str, Callable[[], bool]] = {
            "empty": lambda: not self.services,
            "init_first": lambda: board.terms.init == "first",
            "turns_left": lambda: self._next_in_turn() is not None,
            "services_left": lambda: self.at + 1 < len(self.services),
            "services_before": lambda: self.at > 0,
            "tries_left": self._tries_left,
        }
        self._actions: dict[str, Callable[[float], None]] = {
            "ask_init": self._ask_init,
            "ask_process": self._ask_process,
            "ask_next_in_turn": self._ask_next_in_turn,
            "ask_activate": self._ask_activate,
            "take_next": self._take_next,
            "forget_failures": self._forget_failures,
            "complete": self._complete,
            "abort": self._abort,
            "plan_retry": self._plan_retry,
            "forget_retry": self._forget_retry,
            "report_failure": self._report_failure,
            "record": self._record,
            "begin_stop": self._begin_stop,
            "take_previous": self._take_previous,
            "ask_stop": self._ask_stop,
            "skip": self._skip,
            "stopped": self._stopped,
        }

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
        if self.services:
            board.note("round begun", value=board.ring.epoch, why="; ".join(self.mixed))
        self._handle(VIEW, now)
        self.advance(now)

    def advance(self, now: float) -> None:
        """Continue the round until a member owes a report, or the round ends."""
        while (self.state, REPORTED) in ROUND and not any(member.steps for member in self._board.active):
            self._handle(REPORTED, now)

    def _handle(self, event: str, now: float) -> None:
        """Apply the rule of the table for an event."""
        before = (self.state, self.at)
        rule = next(rule for rule in ROUND[self.state, event] if not rule.when or self._conditions[rule.when]())
        self.state = rule.next
        for action in rule.actions:
            self._actions[action](now)
        if (self.state, self.at) != before:
            self.since = now
        self._board.touch()

    # -- the conditions and actions of the table -----------------------------------------------------------------------------

    def _next_in_turn(self) -> Member | None:
        """With ``serialize``: the next member that runs the current service, or None."""
        service = self.services[self.at]
        waiting = (one for one in self._board.active if service in one.taking and one.number not in self.ran)
        return next(waiting, None) if self.ran else None

    def _tries_left(self) -> bool:
        return self.policy == "retry" and self.attempts <= self._board.terms.retries

    def _ask_init(self, now: float) -> None:
        for service in self.services:
            self._issue(INIT, service, self._board.active, now)

    def _ask_process(self, now: float) -> None:
        board, service = self._board, self.services[self.at]
        self.ran = set()
        owners = [member for member in board.active if service in member.taking]
        if board.terms.init != "first":
            self._issue(INIT, service, owners, now)
        if any(member.services[service].serialize for member in owners):
            owners = owners[:1]
            self.ran = {member.number for member in owners}
        self._issue(PROCESS, service, owners, now)

    def _ask_next_in_turn(self, now: float) -> None:
        member = self._next_in_turn()
        assert member is not None
        self.ran.add(member.number)
        self._issue(PROCESS, self.services[self.at], [member], now)

    def _ask_activate(self, now: float) -> None:
        if self._board.terms.activate == "after":
            self._issue(ACTIVATE, self.services[self.at], self._board.active, now)

    def _take_next(self, now: float) -> None:
        self.at += 1

    def _forget_failures(self, now: float) -> None:
        self.attempts = 0

    def _complete(self, now: float) -> None:
        self._board.log.append(COMPLETED, data="; ".join(self.mixed))
        self._end("completed", "", now)

    def _abort(self, now: float) -> None:
        board = self._board
        board.log.drop_steps()
        board.log.append(ABORT, data=self._reason)
        for member in board.active:
            if member.steps:
                member.steps.clear()
                board.touch_members(member)

    def _plan_retry(self, now: float) -> None:
        self.retry_at = now + min(self._board.terms.backoff * 2 ** min(self.attempts - 1, 16), BACKOFF_MAX)

    def _forget_retry(self, now: float) -> None:
        self.retry_at = None

    def _report_failure(self, now: float) -> None:
        self.why = self._reason
        retry = (
            f"the next try begins in {self.retry_at - now:g} s"
            if self.retry_at is not None
            else "no further try follows"
        )
        after = {"retry": retry, "exclude": f"{self.failed[0]} is excluded", "stop": "the round stops here"}[
            self.policy
        ]
        self._board.log.append(FAILED, data=f"{self.why}; {after}")

    def _record(self, now: float) -> None:
        self._end("failed" if self.state == FAILED else "aborted", self._reason, now)

    def _begin_stop(self, now: float) -> None:
        ids, _ = merge(self._board.active)
        self.services, self.at, self.began = tuple(ids), len(ids), now

    def _take_previous(self, now: float) -> None:
        self.at -= 1

    def _ask_stop(self, now: float) -> None:
        service = self.services[self.at]
        self._issue(STOP, service, [member for member in self._board.active if service in member.active], now)

    def _skip(self, now: float) -> None:
        member = next(member for member in self._board.active if member.name == self.failed[0])
        self._board.note("round failed", member.name, self._reason)
        if member.steps:
            member.done(member.steps[-1].number, now)
        self._board.touch_members(member)

    def _stopped(self, now: float) -> None:
        self._board.log.append(STOPPED)

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
        """Handle a failed or late step of a member: abort the round on all members, and react as the policy says."""
        self._reason, self.failed = why, (member.name, service)
        self.policy = member.services[service].on_failure or self._board.terms.on_failure
        self.attempts += self.running
        self._handle(FAILURE, now)
        self.advance(now)

    def abort(self, why: str, now: float) -> None:
        """End the round, because the view changes."""
        self._reason = why
        self._handle(CHANGE, now)

    def stop(self, why: str, now: float) -> None:
        """End the round, and run the ``stop`` steps, the last service first."""
        self._reason = why
        self._handle(STOP_GROUP, now)
        self.advance(now)

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
        places = {service: place for place, service in enumerate(self.services)}
        states = []
        for service, announced in sorted(member.services.items()):
            state = steps.get(service) or self._service_state(member, service, places)
            seconds = now - member.began if service in steps else None
            why = self.why if state == FAILED else member.ended.get(service, "")
            states.append(
                GroupServiceState(
                    id=service,
                    name=announced.name,
                    version=announced.version,
                    state=state,
                    seconds=seconds,
                    why=why,
                )
            )
        return tuple(states)

    def _service_state(self, member: Member, service: int, places: Mapping[int, int]) -> str:
        if service in member.ended:
            return "ended"
        if service not in places:
            return "active" if service in member.active else "waiting"
        place = places[service]
        if self.state in (NONE, INIT):
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
        if kept.state not in ROUND_STATES or not 0 <= kept.at <= most:
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
