"""Runs one step of a service with its timeout. Errors name the host, the service, the step, and the reason for a delay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...errors import LinesyncError
from ...model.groups.declarations import HEALTHY
from ...model.groups.order import Place
from .service import AGAIN, Round, Service, Step

__all__ = ["CHECKS_FAILED", "StepFailed", "run_step", "watch_health"]

CHECKS_FAILED = 3
"""The number of consecutive failed checks after which a healthy service has failed."""


class StepFailed(Exception):
    """A step failed, or was late.

    :ivar text: a sentence that describes the failure.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


async def run_step(kind: str, place: Place, service: Service, round_: Round, absent: str = "") -> str:
    """Run a step of a service, or of a gate.

    :param absent: the name of a needed service that no member has; empty if there is none. With such a name, ``process`` waits
        for a new view.
    :returns: ``done``, or ``again`` if ``process`` asks to be called again.
    :raises StepFailed: the step failed, or did not end in time.
    """
    if place.gate:
        if kind == "process" and place.gate == HEALTHY:
            await _become_healthy(place, service, round_)
        return "done"
    run = service.steps.get(kind)
    if kind == "process" and absent:
        run = _Absent(absent)
    if run is None:
        return "done"
    title = f"the step {kind} of the service {place.declaration.name} on {round_.member}"
    limit = place.declaration.timeout(kind)
    try:
        result = await _limited(run, round_, limit)
    except _Late:
        raise StepFailed(f"{title} did not end within {limit:g} s; it waits for {waits_for(run)}") from None
    except Exception as error:
        raise StepFailed(f"{title} failed: {_reason(error)}") from None
    return "again" if kind == "process" and result == AGAIN else "done"


class _Absent:
    """Waits for a member with a service, until the step is cancelled by a new view."""

    def __init__(self, service: str) -> None:
        self.waits_for = f"a member with the service {service}, which it needs"

    async def __call__(self, round_: Round) -> None:
        await asyncio.Event().wait()


async def watch_health(place: Place, service: Service, round_: Round, failed: Callable[[str], None]) -> None:
    """Check a healthy service repeatedly, until :data:`CHECKS_FAILED` consecutive checks have failed.

    :param failed: called at the end with a sentence that describes the failure.
    """
    bad = 0
    while True:
        await asyncio.sleep(place.declaration.interval)
        why = await _check(place, service, round_)
        bad = bad + 1 if why else 0
        if bad == CHECKS_FAILED:
            name = place.declaration.name
            failed(
                f"the service {name} on {round_.member} is not healthy any more: {bad} checks failed; the last failure: {why}"
            )
            return


async def _become_healthy(place: Place, service: Service, round_: Round) -> None:
    declared = place.declaration
    limit = declared.timeout("check")
    why = "the first check has not ended"
    try:
        async with asyncio.timeout(limit):
            while why := await _check(place, service, round_):
                await asyncio.sleep(declared.interval)
    except TimeoutError:
        raise StepFailed(
            f"the step check of the service {declared.name} on {round_.member} did not succeed within {limit:g} s; it waits"
            f" for the service to become healthy: {why}"
        ) from None


async def _check(place: Place, service: Service, round_: Round) -> str:
    """Check a service once.

    :returns: the reason why the service is unhealthy; empty if it is healthy.
    """
    run = service.steps["check"]
    limit = place.declaration.check_timeout
    try:
        result = await _limited(run, round_, limit)
    except _Late:
        return f"the check did not end within {limit:g} s; it waits for {waits_for(run)}"
    except Exception as error:
        return _reason(error)
    return "the check returned False" if result is False else ""


class _Late(Exception):
    """A step did not end in time. A TimeoutError that the step itself raises is a different error."""


async def _limited(run: Step, round_: Round, limit: float) -> object:
    """Call a step with a timeout."""
    scope = asyncio.timeout(limit)
    try:
        async with scope:
            return await run(round_)
    except TimeoutError:
        if scope.expired():
            raise _Late from None
        raise


def waits_for(run: Step) -> str:
    """Describe the operation for which an unfinished step waits."""
    return str(getattr(run, "waits_for", "") or f"the coroutine {getattr(run, '__qualname__', type(run).__name__)}")


def _reason(error: Exception) -> str:
    if isinstance(error, LinesyncError):
        return error.message
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
