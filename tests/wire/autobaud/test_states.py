"""The table of states."""

from __future__ import annotations

from linesync.wire.autobaud import states
from linesync.wire.autobaud.states import TRANSITIONS


def test_every_state_can_be_left_and_every_trial_ends_by_itself() -> None:
    known = {state for state, _ in TRANSITIONS}
    assert {state for state, _ in TRANSITIONS.values()} <= known
    for state in known - {states.RESTING, states.CHANGING, states.RETURNING, states.FALLING}:
        assert (state, states.LATE) in TRANSITIONS, f"{state} may last for ever"
    for state in known - {states.FALLING}:
        assert (state, states.LOST) in TRANSITIONS, f"{state} outlives its peer"
