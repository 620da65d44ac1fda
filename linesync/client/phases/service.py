"""A service as Python code: its declaration, and a coroutine for each of its steps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from ...frozen_record import Record
from ...model.groups.declarations import CHECK_TIMEOUT, INTERVAL, STARTED, STEPS, TIMEOUT, Declaration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["AGAIN", "Round", "Service", "Step"]

AGAIN: Final = "again"
"""The return value with which ``process`` requests another call."""


class Round(Record):
    """The round in which a step runs."""

    group: str
    """The name of the group."""
    ring: str
    """The id of the view; it never repeats."""
    member: str
    """This member."""
    members: tuple[str, ...]
    """All members of the view, the oldest first."""
    joined: tuple[str, ...] = ()
    """The members that are new in this view."""
    left: tuple[tuple[str, str], ...] = ()
    """The members that left since the previous view, each with the cause."""
    carried: tuple[str, ...] = ()
    """The members that were also in the previous view."""

    @property
    def index(self) -> int:
        """The position of this member in ``members``, from 0."""
        return self.members.index(self.member)


Step = Callable[[Round], Awaitable[object]]
"""A coroutine function that runs one step. An exception means that the step has failed."""


class Service:
    """A service and its steps on this host. A step that is None is done immediately.

    Each step is a coroutine function with one argument, a :class:`Round`. An exception means that the step failed. A
    late step is cancelled. ``init`` and ``process`` are also cancelled when the members change. A cancelled coroutine must
    clean up before it ends.

    :param process: starts the service. If it returns :data:`AGAIN`, it is called again.
    :param check: checks the health of the service. An exception or the result False means that the service is unhealthy.
    :param activate: runs when ``process`` has succeeded on all hosts.
    :param abort: runs instead of ``activate``, if the members change or a step fails before ``activate``.
    :param stop: runs when the group is stopped or this host leaves.
    :param needs: the services that it needs, each with the required state: ``started``, ``completed`` or ``healthy``. A list
        of names means the state ``started``.
    :param timeout: seconds for each step; ``timeouts`` overrides it for some steps.

    :class:`~linesync.model.groups.declarations.Declaration` describes the other parameters.
    """

    def __init__(
        self,
        name: str,
        *,
        id: int | None = None,
        after: Iterable[str] = (),
        before: Iterable[str] = (),
        needs: Mapping[str, str] | Iterable[str] = (),
        hosts: Iterable[str] = (),
        version: str = "",
        init: Step | None = None,
        process: Step | None = None,
        check: Step | None = None,
        activate: Step | None = None,
        abort: Step | None = None,
        stop: Step | None = None,
        timeout: float = TIMEOUT,
        timeouts: Mapping[str, float] | None = None,
        interval: float = INTERVAL,
        check_timeout: float = CHECK_TIMEOUT,
        serialize: bool = False,
        keystone: bool = False,
        on_failure: str = "",
    ) -> None:
        self.declaration = Declaration(
            name=name,
            id=id,
            after=tuple(after),
            before=tuple(before),
            needs=dict(needs) if isinstance(needs, Mapping) else dict.fromkeys(needs, STARTED),
            hosts=tuple(hosts),
            version=version,
            checked=check is not None,
            timeouts=dict.fromkeys(STEPS, timeout) | dict(timeouts or {}),
            interval=interval,
            check_timeout=check_timeout,
            serialize=serialize,
            keystone=keystone,
            on_failure=on_failure,
        )
        found = {"init": init, "process": process, "check": check, "activate": activate, "abort": abort, "stop": stop}
        self.steps: dict[str, Step] = {step: run for step, run in found.items() if run is not None}

    @classmethod
    def declared(cls, declaration: Declaration, steps: Mapping[str, Step]) -> Service:
        """Make a service from an existing declaration."""
        made = cls(declaration.name)
        made.declaration = declaration
        made.steps = dict(steps)
        return made
