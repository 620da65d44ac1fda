"""One member of a group: runs the steps that the hub asks for, one at a time, and reports their results."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ...errors import LinesyncError
from ...frozen_record import Record
from ...model.groups.declarations import HEALTHY, Declaration
from ...model.groups.order import Place, needing
from ..groups.events import Message, Step, View
from .service import Round, Service
from .steps import StepFailed, run_step, watch_health

if TYPE_CHECKING:
    from ..groups.events import GroupEvent

__all__ = ["Member", "Membership"]

_CAST_AGAIN = 1.0  # seconds between two attempts to report a failed service to all members
_CUT = ("init", "process")
"""The steps that are cancelled when the members change. All other steps run until they end."""


class Membership(Protocol):
    """The part of :class:`~linesync.client.groups.group.Group` that a member uses."""

    name: str
    member: str

    def events(self) -> AsyncIterator[GroupEvent]: ...
    async def done(self, step: Step, result: str = "done", text: str = "") -> None: ...
    async def ended(self, service: int, text: str = "") -> None: ...
    async def cast(self, data: bytes) -> None: ...


class _Stop(Record):
    """Stops a service, because it needs another service that has failed."""

    place: Place
    why: str

    @property
    def kind(self) -> str:
        return "stop"


class Member:
    """Runs the services of one member. It may join the group several times, because the session with the hub may be lost.

    :param declared: the services of all hosts, in order.
    :param places: the places of the services of this member, by their ids.
    :param services: the services by name.
    :param say: called with a sentence for the log.
    """

    def __init__(
        self,
        declared: Sequence[Declaration],
        places: Mapping[int, Place],
        services: Mapping[str, Service],
        say: Callable[[str], None],
    ) -> None:
        self._declared = declared
        self._places = places
        self._services = services
        self._say = say
        self._steps: deque[tuple[Step | _Stop, Round]] = (
            deque()
        )  # bound: the hub sends the steps of one service at a time
        """The steps that wait, each with its round, because a later view may arrive before the step begins."""
        self._more = asyncio.Event()
        """Set when a step waits."""
        self._idle = asyncio.Event()
        """Set when no step waits or runs."""
        self._running: tuple[str, asyncio.Task[None]] | None = None
        """The kind of the running step, and its task."""
        self._started: dict[int, Place] = {}
        """The started services, in the order of their start: ``process`` has succeeded, and no ``stop`` or ``abort`` followed."""
        self._begun: set[int] = set()
        """The services that have begun a step since they were last activated, aborted or stopped."""
        self._watching: dict[str, asyncio.Task[None]] = {}
        """The tasks that check the health of services after their gates, by the name of the service."""
        self._failed: set[str] = set()
        """The services that have failed after their start."""
        self._reports: set[asyncio.Task[None]] = set()

    async def run(self, group: Membership) -> None:
        """Handle the events of a membership until it ends. When this returns, no step is running: ``init`` and ``process``
        were cancelled, and the other steps have ended. Started services keep running.

        :raises LinesyncError: the group removed this member, or the session with the hub was lost.
        """
        self._group = group
        self._round = Round(group.name, "", group.member, (group.member,))
        self._idle.set()
        worker = asyncio.create_task(self._work())
        try:
            try:
                async for event in group.events():
                    self._handle(event)
            except LinesyncError:
                self._cut()
                await self._idle.wait()
                raise
            await self._idle.wait()
        finally:
            self._cut()
            for name in list(self._watching):
                self._unwatch(name)
            for task in (worker, *self._reports):
                task.cancel()
            await asyncio.wait({worker, *self._reports})

    def _handle(self, event: GroupEvent) -> None:
        """Handle an event. This never waits, because an abort may follow."""
        if isinstance(event, Message):
            self._heard(event)
        elif isinstance(event, View):
            self._cut()
            self._round = Round(
                group=self._group.name,
                ring=str(event.ring),
                member=self._group.member,
                members=event.members,
                joined=event.joined,
                left=event.left,
                carried=event.carried,
            )
            self._say(f"view {event.ring}: {_in_words(event)}")
        elif event.kind in ("completed", "failed", "stopped"):
            self._say(f"{event.kind}{': ' if event.text else ''}{event.text}")
        else:
            if event.kind == "abort":
                self._cut()
            self._put(event)

    # -- one step after the other -------------------------------------------------------------------------------------

    def _put(self, step: Step | _Stop) -> None:
        self._steps.append((step, self._round))
        self._idle.clear()
        self._more.set()

    def _cut(self) -> None:
        """Cancel a running ``init`` or ``process`` step, and drop the waiting ``init`` and ``process`` steps."""
        self._steps = deque((step, round_) for step, round_ in self._steps if step.kind not in _CUT)
        if self._running is not None and self._running[0] in _CUT:
            self._running[1].cancel()

    async def _work(self) -> None:
        """Run the steps in order. After a cancellation, the next step begins when the cancelled step has ended."""
        while True:
            while not self._steps:
                self._idle.set()
                self._more.clear()
                await self._more.wait()
            step, round_ = self._steps.popleft()
            work = self._stop_dependent(step) if isinstance(step, _Stop) else self._run(step, round_)
            task = asyncio.create_task(work)
            self._running = (step.kind, task)
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:  # this member leaves
                await asyncio.wait({task})
                raise
            finally:
                self._running = None
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    self._say(f"a step could not be reported: {error}")

    async def _run(self, step: Step, round_: Round) -> None:
        """Run a step of a round and report its end."""
        place = self._places[step.service]
        service, kind = self._services[place.declaration.name], step.kind
        if kind == "abort" and place.id not in self._begun:
            return  # the first step of this service was dropped before it began
        self._begun.add(place.id)
        if place.gate:
            self._unwatch(place.declaration.name)  # until the gate opens again
        stopped = kind == "stop" and place.id not in self._started
        absent = self._absent(place) if kind == "process" else ""
        silent = stopped or (not absent and kind not in (("process",) if place.gate else service.steps))
        result, text = "done", ""
        try:
            if not silent:
                waits = f", but waits for a member with {absent}" if absent else ""
                self._say(f"{place.name}: {kind} begins{waits}")
                result = await run_step(kind, place, service, round_, absent)
        except StepFailed as failed:
            result, text = "failed", failed.text
        except asyncio.CancelledError:
            self._say(f"{place.name}: {kind} was ended, because the round is over")
            raise
        if not silent:
            self._say(f"{place.name}: {kind} {result}{': ' if text else ''}{text}")
        self._note(kind, place, result, round_)
        # The report of a step includes the steps before it.
        later = any(isinstance(other, Step) and other.kind != "abort" for other, _ in self._steps)
        if kind != "abort" and not (later and result == "done"):
            await self._group.done(step, result, text)

    def _absent(self, place: Place) -> str:
        """The name of a needed service that no member of the view has; empty if there is none."""
        hosts = {name for member in self._round.members for name in member.split("#")}
        services = {declaration.name: declaration for declaration in self._declared}
        needed = [services[name] for name in place.declaration.needs]
        return next(
            (declaration.name for declaration in needed if declaration.hosts and not hosts & {*declaration.hosts}), ""
        )

    def _note(self, kind: str, place: Place, result: str, round_: Round) -> None:
        """Record the effects of a step."""
        if kind in ("activate", "abort", "stop"):
            self._begun.discard(place.id)
        if kind in ("abort", "stop"):
            self._started.pop(place.id, None)
            self._unwatch(place.declaration.name)
        elif kind == "process" and result == "done" and not place.gate:
            self._started[place.id] = place
        elif kind == "activate" and place.gate == HEALTHY:
            self._watch(place, round_)

    # -- health and failures ------------------------------------------------------------------------------------------

    def _watch(self, gate: Place, round_: Round) -> None:
        name = gate.declaration.name

        def failed(why: str) -> None:
            self._watching.pop(name, None)
            self._fail(name, why)

        self._unwatch(name)
        self._watching[name] = asyncio.create_task(watch_health(gate, self._services[name], round_, failed))

    def _unwatch(self, name: str) -> None:
        self._failed.discard(name)
        if (task := self._watching.pop(name, None)) is not None:
            task.cancel()

    def _fail(self, name: str, why: str) -> None:
        """Report that the checks of a service have failed."""
        task = asyncio.create_task(self.ended(name, why))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    def has(self, name: str) -> bool:
        """Whether this member has a service."""
        return any(place.name == name for place in self._places.values())

    async def ended(self, name: str, why: str) -> None:
        """Report to the hub and to all members that a service of this member has failed or ended by itself. A keystone
        is reported only to the hub. The report to the members is also omitted if the service starts again before this
        report."""
        self._say(f"{name}: {why}")
        self._failed.add(name)
        place = next(place for place in self._places.values() if place.name == name)
        await self._group.ended(place.id, why)
        while name in self._failed and not place.declaration.keystone:
            try:
                await self._group.cast(json.dumps({"failed": name, "why": why}).encode())
                return
            except LinesyncError:  # the members change, or they are too few now
                await asyncio.sleep(_CAST_AGAIN)

    def _heard(self, message: Message) -> None:
        """Handle the report that a service of any member has failed: stop the services here that need it, in reverse order."""
        if message.state:
            return  # it may be from an earlier view
        try:
            report = json.loads(message.data)
            failed, why = str(report["failed"]), str(report["why"])
        except (ValueError, KeyError, TypeError):
            return  # a message of another program in the group
        dependent = {declaration.name for declaration in needing(self._declared, failed)}
        for place in reversed(list(self._started.values())):
            if place.name in dependent:
                self._put(_Stop(place, f"it needs {failed}, which failed on {message.sender}: {why}"))

    async def _stop_dependent(self, stop: _Stop) -> None:
        await self._run_alone("stop", stop.place, stop.why)
        await self._group.ended(stop.place.id, f"stopped, because {stop.why}")

    async def wind_up(self) -> None:
        """End the services because this member leaves the group. Abort the services that have begun and were not activated.
        Then stop the other services that have started. Both run in reverse order."""
        for place in sorted(self._places.values(), key=lambda place: place.id, reverse=True):
            if place.id in self._begun:
                await self._run_alone("abort", place)
        for place in reversed(list(self._started.values())):
            await self._run_alone("stop", place)

    async def _run_alone(self, kind: str, place: Place, why: str = "this member leaves the group") -> None:
        """Run a step without a request of the hub."""
        service = self._services[place.declaration.name]
        if kind in service.steps and not place.gate:
            self._say(f"{place.name}: {kind} begins, because {why}")
            try:
                await run_step(kind, place, service, self._round)
                self._say(f"{place.name}: {kind} done")
            except StepFailed as failed:
                self._say(f"{place.name}: {kind} failed: {failed.text}")
        self._note(kind, place, "done", self._round)


def _in_words(view: View) -> str:
    parts = [f"members {' '.join(view.members)}"]
    if view.joined:
        parts.append(f"joined {' '.join(view.joined)}")
    parts += [f"{member} left ({cause})" for member, cause in view.left]
    if view.short:
        parts.append("below the quorum")
    if view.why:
        parts.append(view.why)
    return ", ".join(parts)
