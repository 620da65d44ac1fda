"""Judges the behaviour of the members of a group, from their own logs alone (the guarantees of docs/groups.md)."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from linesync.client.groups.events import Message, Step, View

__all__ = ["MemberLog", "check_all", "check_stable"]

_STEPS = ("init", "process", "activate")


class MemberLog:
    """The log of one life of a member.

    :ivar entries: in order: ``(clock, "view", View)``, ``(clock, "message", Message)``, ``(clock, "step", Step)`` when it begins,
        ``(clock, "done", Step)`` when it was reported as done, ``(clock, "cast", ring, data)``, and then ``(clock, "posted",
        data)`` or ``(clock, "refused", data)``. The clock grows over all logs.
    :ivar services: the ids of its services.
    :ivar over: whether the member has ended.
    :ivar first, last: the epochs of the views when it joined and when the hub removed it; None if they are not known.
    """

    def __init__(self, member: str, services: Iterable[int], first: int | None = None) -> None:
        self.first, self.last = first, None if first is None else sys.maxsize
        self.member = member
        self.services = tuple(sorted(services))
        self.entries: list[tuple[Any, ...]] = []
        self.over = False

    def add(self, clock: int, what: str, *more: Any) -> None:
        self.entries.append((clock, what, *more))

    def of(self, what: str) -> list[Any]:
        return [entry[2] for entry in self.entries if entry[1] == what]

    def __repr__(self) -> str:
        return "\n".join([f"{self.member} {self.services}", *(f"  {entry}" for entry in self.entries)])


def check_all(logs: list[MemberLog], *, init: str = "") -> None:
    """Check all guarantees that hold at every moment.

    :param init: the term of the group; empty if it is not known.
    """
    _views(logs)
    _messages(logs)
    _total_order(logs)
    _same_messages(logs)
    for log in logs:
        _callbacks(log)
    _order_of_services(logs)
    _answered_messages(logs)
    _no_ghosts(logs)
    if init == "first":
        _init_first(logs)


def _views(logs: list[MemberLog]) -> None:
    known: dict[str, View] = {}
    for log in logs:
        epochs = [view.ring.epoch for view in log.of("view")]
        assert epochs == sorted(set(epochs)), f"the epochs of views grow\n{log}"
        for view in log.of("view"):
            assert log.member in view.members, f"a member is in its own views\n{log}"
            assert known.setdefault(str(view.ring), view) == view, f"a ring id is one view\n{log}"


def _messages(logs: list[MemberLog]) -> None:
    sent = {entry[3]: str(entry[2]) for log in logs for entry in log.entries if entry[1] == "cast"}
    for log in logs:
        ring, seen = "", set()
        for _, what, event, *_ in log.entries:
            if what == "view":
                ring = str(event.ring)
                assert "too slow" not in dict(event.left).values(), f"all members read\n{log}"
            elif what == "message" and event.state:
                assert not seen, f"the state comes before the first message\n{log}"
            elif what == "message":
                assert event.data not in seen, f"a message is delivered once\n{log}"
                seen.add(event.data)
                assert sent[event.data] == ring == str(event.ring), f"it is delivered in the view it was sent in\n{log}"


def _answered_messages(logs: list[MemberLog]) -> None:
    """All members that continue to another view have got the answered messages of a view. No member gets a refused message."""
    posted, refused = _answered(logs)
    for log in logs:
        views, got = [str(view.ring) for view in log.of("view")], _got(log)
        for ring in views[:-1]:
            assert posted.get(ring, set()) <= got, f"an answered message of {ring} is delivered\n{log}"
        assert not refused & got, f"a refused message is not delivered\n{log}"


def _answered(logs: list[MemberLog]) -> tuple[dict[str, set[bytes]], set[bytes]]:
    """The answered messages by ring, and the refused messages."""
    rings = {entry[3]: str(entry[2]) for log in logs for entry in log.entries if entry[1] == "cast"}
    posted: dict[str, set[bytes]] = defaultdict(set)
    for log in logs:
        for data in log.of("posted"):
            posted[rings[data]].add(data)
    return posted, {data for log in logs for data in log.of("refused")}


def _got(log: MemberLog) -> set[bytes]:
    return {message.data for message in log.of("message") if not message.state}


def _no_ghosts(logs: list[MemberLog]) -> None:
    """Each member of a view has joined before the view, and was not removed before it."""
    lives = defaultdict(list)
    for log in logs:
        if log.first is not None and log.last is not None:
            lives[log.member].append((log.first, log.last))
    for log in logs:
        for view in log.of("view") if lives else ():
            for member in view.members:
                assert any(first < view.ring.epoch <= last for first, last in lives[member]), (
                    f"{member} is not a ghost in {view.ring}\n{log}"
                )


def _init_first(logs: list[MemberLog]) -> None:
    """No member of a view begins a process before all of them have finished each init."""
    inits: dict[str, int] = defaultdict(int)
    for log in logs:
        for clock, what, event, *_ in log.entries:
            if what in ("step", "done") and event.kind == "init":
                inits[str(event.ring)] = max(inits[str(event.ring)], clock)
    for log in logs:
        for clock, what, event, *_ in log.entries:
            if what == "step" and event.kind == "process":
                assert inits[str(event.ring)] < clock, f"all init steps come first\n{log}"


def _order(log: MemberLog) -> list[Any]:
    """The views and messages of a log, as values that can be compared."""
    found: list[Any] = []
    for _, what, event, *_ in log.entries:
        if what == "view":
            found.append(("view", str(event.ring)))
        elif what == "message" and not event.state:
            found.append(("message", event.data))
    return found


def _total_order(logs: list[MemberLog]) -> None:
    orders = [_order(log) for log in logs]
    for number, first in enumerate(orders):
        for second in orders[:number]:
            common = set(first) & set(second)
            ours, theirs = [[one for one in order if one in common] for order in (first, second)]
            assert ours == theirs, f"views and messages have one order\n{ours}\n{theirs}"


def _same_messages(logs: list[MemberLog]) -> None:
    """Members that go from one view to the same next one have got the same messages in it."""
    found: dict[tuple[str, str], list[Any]] = {}
    for log in logs:
        views, messages = [], defaultdict(list)
        for kind, value in _order(log):
            if kind == "view":
                views.append(value)
            else:
                messages[views[-1]].append(value)
        for pair in pairwise(views):
            mine = messages[pair[0]]
            assert found.setdefault(pair, mine) == mine, f"the messages of a view are the same for all that stay\n{log}"


def _callbacks(log: MemberLog) -> None:
    """Steps belong to the current ring, and each ``init`` is followed by one ``activate`` or one ``abort``."""
    ring = ""
    begun: dict[int, None] = {}
    running: Step | None = None
    for _, what, event, *_ in log.entries:
        if what == "view":
            assert not begun, f"what had begun is aborted before the next view\n{log}"
            ring = str(event.ring)
        if what == "done":
            running = None
        if what != "step":
            continue
        assert str(event.ring) == ring, f"no step runs under an old ring\n{log}"
        if event.kind == "abort":
            assert event.service in begun, f"only what has begun is aborted\n{log}"
            del begun[event.service]
            if running is not None and running.kind != "activate":
                running = None
            continue
        if event.kind in _STEPS:
            assert event.service in log.services, f"a member runs its own services\n{log}"
            assert running is None, f"one step runs at a time\n{log}"
            running = event
        if event.kind == "init":
            assert event.service not in begun, f"init comes once\n{log}"
            begun[event.service] = None
        elif event.kind == "process":
            assert event.service in begun, f"process comes after init\n{log}"
        elif event.kind == "activate":
            assert event.service in begun, f"activate comes after process\n{log}"
            del begun[event.service]
        elif event.kind in ("completed", "failed"):
            assert not begun, f"nothing is open at the end of a round\n{log}"


def _order_of_services(logs: list[MemberLog]) -> None:
    """A member begins a service only after all members of its view have processed the services before it."""
    members: dict[str, View] = {str(view.ring): view for log in logs for view in log.of("view")}
    done: dict[tuple[str, str, int], int] = {}
    for log in logs:
        for clock, what, event, *_ in log.entries:
            if what == "done" and event.kind == "process":
                done[str(event.ring), log.member, event.service] = clock
    of_view: dict[tuple[str, str], MemberLog] = {
        (str(view.ring), log.member): log for log in logs for view in log.of("view")
    }
    for log in logs:
        for clock, what, event, *_ in log.entries:
            if what != "step" or event.kind != "process":
                continue
            ring = str(event.ring)
            for member in members[ring].members:
                other = of_view.get((ring, member))
                for service in other.services if other is not None else ():
                    if service < event.service:
                        finished = done.get((ring, member, service))
                        assert finished is not None and finished < clock, (
                            f"{log.member} began service {event.service} in {ring} before {member} had processed {service}\n"
                            f"{log}\n{other}"
                        )


def check_stable(logs: list[MemberLog]) -> None:
    """All members that are left are in the same view, and have completed a round with the same list."""
    alive = [log for log in logs if not log.over]
    if not alive:
        return
    last = {str(log.of("view")[-1].ring) for log in alive}
    assert len(last) == 1, f"the members are in one view: {last}\n" + "\n".join(map(repr, alive))
    (ring,) = last
    posted, _ = _answered(logs)
    for log in alive:
        assert set(log.of("view")[-1].members) == {one.member for one in alive}, f"the view has all members\n{log}"
        assert posted.get(ring, set()) <= _got(log), f"answered messages are delivered\n{log}"
        steps = [step for step in log.of("step") if str(step.ring) == ring]
        assert steps and steps[-1].kind == "completed", f"the round is completed\n{log}"
        assert tuple(step.service for step in steps if step.kind == "activate") == log.services, f"in order\n{log}"
        assert isinstance(log.of("view")[-1], View) and all(isinstance(one, Message) for one in log.of("message"))
