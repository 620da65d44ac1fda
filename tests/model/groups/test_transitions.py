"""The state tables of rounds and members: they are complete, the code runs them, and docs/groups.md shows them."""

from __future__ import annotations

from random import Random

import pytest

from linesync.model.groups.round import Round
from linesync.model.groups.transitions import (
    ACTIONS,
    CONDITIONS,
    EVENTS,
    JOINING,
    MEMBER,
    MEMBER_STATES,
    NONE,
    ROUND,
    ROUND_STATES,
)
from tests.model.groups.play import Play
from tests.model.groups.searches import test_groups_search
from tools.state_tables import PAGE, differences


def rounds() -> Round:
    play = Play()
    play.join("a")
    found: Round = next(iter(play.groups._groups.values())).round
    return found


def test_the_page_shows_the_tables() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("<!-- made: ") == 2
    assert not differences(page), "run: python -m tools.state_tables --write"


def test_each_name_in_the_tables_has_code_and_a_description_and_each_state_is_reached() -> None:
    one = rounds()
    rules = [rule for table in (ROUND, MEMBER) for rules in table.values() for rule in rules]
    actions = {action for rule in rules for action in rule.actions}
    assert actions == ACTIONS.keys() == one._actions.keys() | {"send_state"}
    assert {rule.when for rule in rules} - {""} == CONDITIONS.keys() == one._conditions.keys()
    assert {event for _, event in (*ROUND, *MEMBER)} == EVENTS.keys()
    assert {state for state, _ in ROUND} | {NONE} == set(ROUND_STATES)
    assert {rule.next for rules in ROUND.values() for rule in rules} == set(ROUND_STATES)
    assert {rule.next for rules in MEMBER.values() for rule in rules} | {JOINING} == set(MEMBER_STATES)


def test_the_last_rule_of_each_event_has_no_condition_and_the_others_have_one() -> None:
    for rules in (*ROUND.values(), *MEMBER.values()):
        assert [bool(rule.when) for rule in rules] == [True] * (len(rules) - 1) + [False]


def test_random_lives_use_each_transition_of_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[tuple[str, str, str]] = set()
    handle = Round._handle

    def counting(self: Round, event: str, now: float) -> None:
        before = self.state
        handle(self, event, now)
        used.add((before, event, self.state))

    monkeypatch.setattr(Round, "_handle", counting)
    for seed in range(60):
        random, life = Random(seed), test_groups_search.Life(seed)
        for _ in range(3):
            life.live(random.randrange(5, 60))
            for group in life.play.groups._groups.values():
                life.play.tell(life.play.groups.stop(*group.key, life.play.now))
            life.live(random.randrange(40))
            life.pass_time(random.choice([0.0, 400.0]))
    missing = {(state, event, rule.next) for (state, event), rules in ROUND.items() for rule in rules} - used
    assert missing == set()
