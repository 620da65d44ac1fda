"""The state machine of a rate change: it is complete, and the controller follows it."""

from __future__ import annotations

import pytest

from linesync.wire.autobaud import states
from linesync.wire.autobaud.controller import AutobaudController
from linesync.wire.autobaud.states import TRANSITIONS

STATES = sorted({state for state, _ in TRANSITIONS})
EVENTS = sorted({event for _, event in TRANSITIONS})


def test_every_state_can_be_left_and_every_trial_ends_by_itself() -> None:
    assert {state for state, _ in TRANSITIONS.values()} <= set(STATES)
    for state in set(STATES) - {states.IDLE, states.CHANGING}:
        assert (state, states.TIMEOUT) in TRANSITIONS, f"{state} may last forever"
    for state in set(STATES) - {states.FALLING_BACK}:
        assert (state, states.LOST) in TRANSITIONS, f"{state} does not end when the peer is lost"


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_the_controller_makes_exactly_the_transitions_of_the_table(state: str, event: str) -> None:
    end = AutobaudController(base=115200, rates=(230400, 460800))
    end.state = state
    end._step(event, 1.0)
    assert end.state == TRANSITIONS.get((state, event), (state, ""))[0]
