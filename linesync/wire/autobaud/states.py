"""The state machine of a rate change: states, events and actions of one end (section 7.2 of docs/protocol.md).

``TRANSITIONS`` is complete. :mod:`linesync.wire.autobaud.controller` reads the next state and the action from this table, and
changes its state only in this way. An event without an entry for the current state changes nothing.
"""

from __future__ import annotations

__all__ = ["SILENT_STATES", "TRANSITIONS", "TRIAL_STATES"]

# states
IDLE = "idle"
ASKING = "asking"  # the leader waits for the answer to its question
CHANGING = "changing"  # the port will be set to the new rate
SYNCHRONISING = "synchronising"  # this end has the new rate, and has not heard the peer at this rate yet
TESTING = "testing"  # both ends send test frames and count those of the other end
EVALUATING = "evaluating"  # the result of the tests is not known yet
CONFIRMING = "confirming"  # the leader keeps the rate and waits until the peer confirms it
VERIFYING = "verifying"  # the rate is kept, but no ordinary frame has arrived at this rate yet
RETURNING = "returning"  # the port will be set to the previous rate
FALLING_BACK = "falling back"  # the port will be set to the first rate

# events
TIME_TO_ASK = "time to ask"
TIMEOUT = "timeout"
PORT_SET = "the port is set"
PORT_NOT_SET = "the port is not set"
ASKED = "asked for a rate that our port supports"
ASKED_TOO_MUCH = "asked for a rate that our port does not support"
YES, NO, KEEP, BACK = "yes", "no", "keep", "back"
HEARD_HERE = "here or a test"
TESTS_DONE = "all tests have arrived or are overdue"
ENOUGH, TOO_FEW = "enough tests arrived in both directions", "too few tests arrived"
ORDINARY = "an ordinary frame"
LOST = "the peer is lost"
LOST_AT_FIRST = "the peer is lost at the first rate"
NEW_SESSION = "a new session begins"

# actions
SAY_ASK = "send *ask*"
SAY_YES = "send *yes*, set the port"
SAY_NO = "send *no*"
SETTLE_YES = "the rate is established; send *yes*, set the port"
SETTLE_NO = "the rate is established; send *no*"
SET_PORT = "set the port"
NOTE_REFUSAL = "store the rates that the peer supports"
ASK_LATER = "ask again later"
SAY_HERE = "send *here* repeatedly"
SEND_TESTS = "send the tests"
REPORT = "report the tests that arrived"
SAY_KEEP = "send *keep* until it is answered"
ANSWER_KEEP = "send *keep*"
ANSWER_AND_WAIT = "send *keep*, wait for an ordinary frame"
WAIT_FOR_PROOF = "wait for an ordinary frame"
SAY_BACK = "send *back*, set the port back"
GO_BACK = "set the port back"
SETTLE = "the rate is established"
RESUME = "continue at the previous rate"
FALL_BACK = "set the port to the first rate"
STAY = "stay at this rate"

TRANSITIONS: dict[tuple[str, str], tuple[str, str]] = {
    (IDLE, TIME_TO_ASK): (ASKING, SAY_ASK),
    (IDLE, ASKED): (CHANGING, SAY_YES),
    (IDLE, ASKED_TOO_MUCH): (IDLE, SAY_NO),
    (IDLE, KEEP): (IDLE, ANSWER_KEEP),
    (IDLE, LOST): (FALLING_BACK, FALL_BACK),
    (IDLE, LOST_AT_FIRST): (IDLE, STAY),
    (ASKING, YES): (CHANGING, SET_PORT),
    (ASKING, NO): (IDLE, NOTE_REFUSAL),
    (ASKING, TIMEOUT): (IDLE, ASK_LATER),
    (ASKING, LOST): (FALLING_BACK, FALL_BACK),
    (ASKING, LOST_AT_FIRST): (IDLE, STAY),
    (ASKING, NEW_SESSION): (IDLE, STAY),
    (CHANGING, PORT_SET): (SYNCHRONISING, SAY_HERE),
    (CHANGING, PORT_NOT_SET): (IDLE, STAY),
    (CHANGING, LOST): (FALLING_BACK, FALL_BACK),
    (CHANGING, LOST_AT_FIRST): (FALLING_BACK, FALL_BACK),
    (SYNCHRONISING, HEARD_HERE): (TESTING, SEND_TESTS),
    (SYNCHRONISING, TIMEOUT): (RETURNING, GO_BACK),
    (SYNCHRONISING, BACK): (RETURNING, GO_BACK),
    (SYNCHRONISING, LOST): (FALLING_BACK, FALL_BACK),
    (SYNCHRONISING, LOST_AT_FIRST): (IDLE, STAY),
    (TESTING, TESTS_DONE): (EVALUATING, REPORT),
    (TESTING, TIMEOUT): (RETURNING, GO_BACK),
    (TESTING, BACK): (RETURNING, GO_BACK),
    (TESTING, LOST): (FALLING_BACK, FALL_BACK),
    (TESTING, LOST_AT_FIRST): (IDLE, STAY),
    (EVALUATING, ENOUGH): (CONFIRMING, SAY_KEEP),
    (EVALUATING, TOO_FEW): (RETURNING, SAY_BACK),
    (EVALUATING, KEEP): (VERIFYING, ANSWER_AND_WAIT),
    (EVALUATING, TIMEOUT): (RETURNING, GO_BACK),
    (EVALUATING, BACK): (RETURNING, GO_BACK),
    (EVALUATING, LOST): (FALLING_BACK, FALL_BACK),
    (EVALUATING, LOST_AT_FIRST): (IDLE, STAY),
    (CONFIRMING, KEEP): (VERIFYING, WAIT_FOR_PROOF),
    (CONFIRMING, ORDINARY): (IDLE, SETTLE),
    (CONFIRMING, TIMEOUT): (RETURNING, GO_BACK),
    (CONFIRMING, LOST): (FALLING_BACK, FALL_BACK),
    (CONFIRMING, LOST_AT_FIRST): (IDLE, STAY),
    (VERIFYING, ORDINARY): (IDLE, SETTLE),
    (VERIFYING, ASKED): (CHANGING, SETTLE_YES),
    (VERIFYING, ASKED_TOO_MUCH): (IDLE, SETTLE_NO),
    (VERIFYING, KEEP): (VERIFYING, ANSWER_KEEP),
    (VERIFYING, TIMEOUT): (RETURNING, GO_BACK),
    (VERIFYING, LOST): (FALLING_BACK, FALL_BACK),
    (VERIFYING, LOST_AT_FIRST): (IDLE, STAY),
    (RETURNING, PORT_SET): (IDLE, RESUME),
    (RETURNING, TIMEOUT): (RETURNING, GO_BACK),
    (RETURNING, LOST): (FALLING_BACK, FALL_BACK),
    (RETURNING, LOST_AT_FIRST): (IDLE, STAY),
    (FALLING_BACK, PORT_SET): (IDLE, RESUME),
    (FALLING_BACK, TIMEOUT): (FALLING_BACK, FALL_BACK),
}
"""The transitions: (state, event) to (next state, action)."""

SILENT_STATES = frozenset((ASKING, CHANGING, SYNCHRONISING, TESTING, EVALUATING, CONFIRMING, RETURNING, FALLING_BACK))
"""The states in which an end may send only rate frames."""
TRIAL_STATES = frozenset((SYNCHRONISING, TESTING, EVALUATING, CONFIRMING))
"""The states at a rate on trial."""
