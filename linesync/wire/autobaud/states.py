"""The moves of a climb: the states of one end, what may come, and what it does then.

``TRANSITIONS`` is the whole of what may happen; what is not in the table changes nothing.
:mod:`linesync.wire.autobaud.controller` makes the moves.
"""

from __future__ import annotations

__all__ = ["SILENT_STATES", "TRANSITIONS", "TRIAL_STATES"]

# states
RESTING, ASKING, CHANGING, MEETING, TESTING = "resting", "asking", "changing", "meeting", "testing"
JUDGING, KEEPING, PROVING, RETURNING, FALLING = "judging", "keeping", "proving", "returning", "falling"
# what came
DUE, LATE, CHANGED, STUCK = "time to climb", "too late", "the port is set", "the port is not set"
ASKED, TOO_FAST = "asked for a rate we take", "asked for a rate we do not take"
YES, NO, MET = "yes", "no", "heard at the new rate"
TESTED, GOOD, BAD = "all tests came or should have", "enough tests came both ways", "too few tests came"
KEEP, BACK, ORDINARY, LOST = "keep", "back", "an ordinary frame", "the peer is lost"
# what to do
SAY_ASK, SAY_YES, SAY_NO, CHANGE, REFUSED, UNANSWERED = (
    "ask",
    "say yes, change",
    "say no",
    "change",
    "note what the peer takes",
    "ask again later",
)
SAY_HERE, SAY_TESTS, REPORT, SAY_KEEP, SAY_KEPT = (
    "say here, again and again",
    "send the tests",
    "report what came",
    "say keep, until it is said back",
    "say keep back",
)
SAY_BACK, GO_BACK, SETTLE, RESUME, FALL, FAIL = (
    "say back, return",
    "return",
    "the rate stands",
    "go on at the earlier rate",
    "return to the first rate",
    "stay",
)

TRANSITIONS: dict[tuple[str, str], tuple[str, str]] = {
    (RESTING, DUE): (ASKING, SAY_ASK),
    (RESTING, ASKED): (CHANGING, SAY_YES),
    (RESTING, TOO_FAST): (RESTING, SAY_NO),
    (RESTING, KEEP): (RESTING, SAY_KEPT),
    (RESTING, LOST): (FALLING, FALL),
    (ASKING, YES): (CHANGING, CHANGE),
    (ASKING, NO): (RESTING, REFUSED),
    (ASKING, LATE): (RESTING, UNANSWERED),
    (ASKING, LOST): (FALLING, FALL),
    (CHANGING, CHANGED): (MEETING, SAY_HERE),
    (CHANGING, STUCK): (RESTING, FAIL),
    (CHANGING, LOST): (FALLING, FALL),
    (MEETING, MET): (TESTING, SAY_TESTS),
    (MEETING, LATE): (RETURNING, GO_BACK),
    (MEETING, BACK): (RETURNING, GO_BACK),
    (MEETING, LOST): (FALLING, FALL),
    (TESTING, TESTED): (JUDGING, REPORT),
    (TESTING, LATE): (RETURNING, GO_BACK),
    (TESTING, BACK): (RETURNING, GO_BACK),
    (TESTING, LOST): (FALLING, FALL),
    (JUDGING, GOOD): (KEEPING, SAY_KEEP),
    (JUDGING, BAD): (RETURNING, SAY_BACK),
    (JUDGING, KEEP): (PROVING, SAY_KEPT),
    (JUDGING, LATE): (RETURNING, GO_BACK),
    (JUDGING, BACK): (RETURNING, GO_BACK),
    (JUDGING, LOST): (FALLING, FALL),
    (KEEPING, KEEP): (PROVING, SETTLE),
    (KEEPING, ORDINARY): (RESTING, SETTLE),
    (KEEPING, LATE): (RETURNING, GO_BACK),
    (KEEPING, LOST): (FALLING, FALL),
    (PROVING, ORDINARY): (RESTING, SETTLE),
    (PROVING, ASKED): (CHANGING, SAY_YES),
    (PROVING, TOO_FAST): (RESTING, SAY_NO),
    (PROVING, KEEP): (PROVING, SAY_KEPT),
    (PROVING, LATE): (RETURNING, GO_BACK),
    (PROVING, LOST): (FALLING, FALL),
    (RETURNING, CHANGED): (RESTING, RESUME),
    (RETURNING, LOST): (FALLING, FALL),
    (FALLING, CHANGED): (RESTING, RESUME),
}
"""(state, what came) to (next state, what to do)."""

SILENT_STATES = frozenset((ASKING, CHANGING, MEETING, TESTING, JUDGING, KEEPING, RETURNING, FALLING))
"""States in which nothing is sent but what belongs to the try."""
TRIAL_STATES = frozenset((MEETING, TESTING, JUDGING, KEEPING))
"""States at a rate that is being tried."""
