"""All rules, and a run of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator

from .callers import BEGIN, RETURN
from .channels import CHANNELS
from .delivery import DELIVERY
from .listeners import ANSWER, SILENCE
from .monitor import WATCHED
from .reading import READING
from .rules import BOTH, CALLER, FAILED, MUST, PASSED, SKIPPED, Failed, Result, Rule, Skipped
from .station import Station
from .wire import Wire

__all__ = ["RULES", "conforms", "run"]

RULES: tuple[Rule, ...] = tuple(
    rule for rules in (BEGIN, ANSWER, READING, DELIVERY, CHANNELS, RETURN, SILENCE) for rule in rules.rules
)
"""All rules in the order in which they are checked, without those that the tester watches all the time."""
_SILENT = "the endpoint sent no frame"
_ENDED = "the endpoint sends nothing any more"
_MUTE_RULES = 2  # after so many failed rules in a row without a byte of the endpoint, the tester skips the others


def run(
    wire: Wire,
    *,
    role: str = CALLER,
    only: Collection[str] = (),
    seed: int = 0,
    name: str = "conform",
    begins: Callable[[Rule], None] = lambda rule: None,
) -> Iterator[Result]:
    """Check an endpoint, and yield the result of each rule as soon as it is known.

    If the endpoint sends no frame, the first rule that needs one fails, and the tester skips the others. It also skips the
    others after two failed rules in a row in which it received no byte.

    :param role: the role of the endpoint under test: ``caller`` for an agent, ``listener`` for a hub.
    :param only: the ids of the rules to check; all by default.
    :param seed: the seed of all random choices, which include the nonces of the tester.
    :param name: the host name with which the tester registers at a hub.
    :param begins: called before each check.
    """
    skipped = ""  # the reason why the tester skips the other rules
    mute = 0  # the number of the last rules that failed without a byte of the endpoint
    station = Station(wire, role="l" if role == CALLER else "c", name=name, rng=random.Random(seed))
    for rule in RULES:
        if rule.roles in (role, BOTH) and (not only or rule.id in only):
            begins(rule)
            result = Result(rule, SKIPPED, skipped) if skipped else _check(rule, station)
            mute = mute + 1 if result.outcome == FAILED and not result.observed else 0
            if mute and not station.monitor.seen:
                skipped = _SILENT
            elif mute == _MUTE_RULES:
                skipped = _ENDED
            yield result
    station.begin_rule()
    station.end_session()
    for rule in WATCHED:
        if rule.roles in (role, BOTH) and (not only or rule.id in only):
            yield _watched(rule, station)


def _check(rule: Rule, station: Station) -> Result:
    assert rule.check is not None
    station.begin_rule()
    try:
        rule.check(station)
    except Failed as error:
        observed = station.observed()
        station.begin_rule()
        station.end_session()  # the next rule begins with a session that works
        return Result(rule, FAILED, str(error), observed)
    except Skipped as error:
        return Result(rule, SKIPPED, str(error))
    return Result(rule, PASSED)


def _watched(rule: Rule, station: Station) -> Result:
    monitor = station.monitor
    if rule.id in monitor.faults:
        fault, observed = monitor.faults[rule.id]
        return Result(rule, FAILED, fault, observed)
    if not monitor.seen:
        return Result(rule, SKIPPED, _SILENT)
    return Result(rule, PASSED)


def conforms(results: Collection[Result]) -> bool:
    """Whether no rule with MUST failed."""
    return not any(result.outcome == FAILED and result.rule.level == MUST for result in results)
