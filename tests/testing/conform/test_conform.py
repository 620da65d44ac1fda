"""The tester of endpoints: it passes the agent, the hub and the small Python endpoint, and rejects mutants of the latter."""

from __future__ import annotations

from collections import Counter
from unittest.mock import patch

import pytest

from linesync.testing.conform import FAILED, PASSED, RULES, SKIPPED, Result, conforms, run
from linesync.testing.conform.monitor import WATCHED
from linesync.wire.reliability import handshake
from linesync.wire.reliability.liveness import Liveness
from tests.docs.protocol.on_virtual_time import load
from tests.docs.protocol.run_endpoint import make

from .minimal_wire import MinimalWire
from .mutants import MUTANTS, Mutant, mutated
from .systems import agent_wire, hub_wire

_LONG = "wraps"  # takes longer than all other rules together
_CALLER = [rule for rule in (*RULES, *WATCHED) if rule.roles != "listener"]
_LISTENER = [rule for rule in (*RULES, *WATCHED) if rule.roles != "caller"]


def _check_all_passed(results: list[Result]) -> None:
    failed = [f"{result.rule.id}: {result.reason} {result.observed}" for result in results if result.outcome == FAILED]
    assert not failed, "\n".join(failed)
    assert conforms(results)


def test_the_ids_of_the_rules_are_different_and_their_sections_exist() -> None:
    assert max(Counter(rule.id for rule in _CALLER).values()) == 1
    assert max(Counter(rule.id for rule in _LISTENER).values()) == 1
    assert len(_CALLER) > 50 and len(_LISTENER) > 50


@pytest.mark.parametrize("shared", [True, False])
def test_the_small_python_endpoint_passes(shared: bool) -> None:
    results = list(run(MinimalWire(load(), shared=shared)))
    assert [result.rule for result in results] == _CALLER
    _check_all_passed(results)
    assert sum(result.outcome == SKIPPED for result in results) == (0 if shared else 2)


def test_the_endpoint_that_serves_run_passes() -> None:
    module = load()
    module.Endpoint = make(module)  # type: ignore[attr-defined]
    results = list(run(MinimalWire(module), only={rule.id for rule in _CALLER if rule.id != _LONG}))
    _check_all_passed(results)


@pytest.mark.parametrize("shared", [True, False])
def test_an_agent_of_linesync_passes(shared: bool) -> None:
    with agent_wire(shared=shared) as wire:
        results = list(run(wire))
    assert [result.rule for result in results] == _CALLER
    _check_all_passed(results)


@pytest.mark.parametrize("shared", [True, False])
def test_a_hub_of_linesync_passes(shared: bool) -> None:
    with hub_wire(shared=shared) as wire:
        results = list(run(wire, role="listener"))
    assert [result.rule for result in results] == _LISTENER
    _check_all_passed(results)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.rule}: {mutant.new.strip()[:30]}")
def test_a_mutant_is_rejected_by_the_rule_that_it_breaks(mutant: Mutant) -> None:
    watched = {rule.id for rule in WATCHED}
    most = {rule.id for rule in _CALLER if rule.id != _LONG}
    results = list(run(MinimalWire(mutated(mutant)), only=most if mutant.rule in watched else {mutant.rule}))
    (result,) = [result for result in results if result.rule.id == mutant.rule]
    assert result.outcome == FAILED, result
    assert result.reason.startswith(("the ", "a ", "payload ", "poll ", "channel "))
    assert conforms([result]) is (result.rule.level == "SHOULD")
    assert result.as_json()["observed"] == result.observed


@pytest.mark.interpreted
@pytest.mark.parametrize(
    ("rule", "state", "event", "then"),
    [
        ("needs-proof", handshake.STANDING, handshake.UNKNOWN, (handshake.STANDING, handshake.ESTABLISH)),
        ("refuses-version", handshake.IDLE, handshake.INCOMPATIBLE, (handshake.OFFERED, handshake.OFFER)),
        ("refuses-capital-flag", handshake.IDLE, handshake.INCOMPATIBLE, (handshake.OFFERED, handshake.OFFER)),
        ("resumes", handshake.STANDING, handshake.SAME, (handshake.STANDING, handshake.ANSWER)),
        ("unknown-session", handshake.IDLE, handshake.STALE, (handshake.IDLE, "")),
        ("second-listener", handshake.STANDING, handshake.OTHER_STATION, (handshake.STANDING, handshake.OFFER)),
    ],
)
def test_a_hub_with_another_handshake_is_rejected(rule: str, state: str, event: str, then: tuple[str, str]) -> None:
    with patch.dict(handshake.TRANSITIONS, {(state, event): then}), hub_wire(shared=True) as wire:
        (result,) = run(wire, role="listener", only={rule})
    assert result.outcome == FAILED, result


@pytest.mark.interpreted
def test_a_hub_that_speaks_without_being_called_is_rejected() -> None:
    with patch.object(Liveness, "may_speak", lambda *_: True), hub_wire(shared=True) as wire:
        (result,) = run(wire, role="listener", only={"silence"})
    assert result.outcome == FAILED and "more than 3 s after" in result.reason


def test_the_mutants_break_most_rules() -> None:
    broken = {mutant.rule for mutant in MUTANTS}
    assert len(MUTANTS) >= 20 and broken <= {rule.id for rule in _CALLER}
    assert len(broken) > 0.75 * len(_CALLER), {rule.id for rule in _CALLER} - broken


@pytest.mark.parametrize(("role", "failed"), [("caller", "calls"), ("listener", "answers")])
def test_an_endpoint_that_sends_nothing_fails_one_rule_and_the_others_are_skipped(role: str, failed: str) -> None:
    wire = MinimalWire(load())
    wire.endpoint.write = lambda data: None
    begun = wire.now()
    results = list(run(wire, role=role))
    assert [result.rule.id for result in results if result.outcome == FAILED] == [failed]
    assert not conforms(results) and wire.now() - begun < 30
    assert {result.outcome for result in results if result.rule.id not in (failed, "silent-first")} == {SKIPPED}


def test_the_other_rules_are_skipped_after_two_rules_in_which_the_endpoint_sends_nothing_any_more() -> None:
    wire = MinimalWire(load())
    alive = wire.endpoint.write
    dies_at = wire.now() + 20.0
    wire.endpoint.write = lambda data: alive(data) if wire.now() < dies_at else None
    results = list(run(wire, only={rule.id for rule in RULES}))
    reasons = [result.reason for result in results if result.outcome == SKIPPED]
    failed = [at for at, result in enumerate(results) if result.outcome == FAILED]
    assert results[0].outcome == PASSED and 2 <= len(failed) <= 3
    assert not any(results[at].observed for at in failed[-2:])
    assert set(reasons) == {"the endpoint sends nothing any more"} and len(reasons) == len(results) - failed[-1] - 1


def test_one_rule_can_be_checked_alone() -> None:
    (result,) = run(MinimalWire(load()), only={"answers-polls"})
    assert (result.rule.id, result.outcome, result.observed) == ("answers-polls", PASSED, "")
