"""The state tables of a round and of a member. The code runs these tables, and docs/groups.md shows them.

Each table maps a state and an event to rules. The first rule whose condition is true applies: the state changes, and then the
actions run in order. A state and an event without a rule do not occur.
"""

from __future__ import annotations

from ...frozen_record import Record
from ...group_kinds import ACTIVATE, COMPLETED, FAILED, INIT, PROCESS, STOPPED

__all__ = [
    "ACTIONS",
    "CHANGE",
    "CONDITIONS",
    "EVENTS",
    "FAILURE",
    "FULL_VIEW",
    "JOINING",
    "MEMBER",
    "MEMBER_STATES",
    "NONE",
    "REPORTED",
    "ROUND",
    "ROUND_STATES",
    "RUNNING",
    "SHORT_VIEW",
    "STOPPING",
    "STOP_GROUP",
    "VIEW",
    "Rule",
]

NONE, STOPPING = "none", "stopping"
RUNNING = (INIT, PROCESS, ACTIVATE)
"""The states of a round that has begun and has not ended."""
ROUND_STATES = (NONE, *RUNNING, COMPLETED, FAILED, STOPPING, STOPPED)

VIEW, REPORTED, FAILURE, CHANGE, STOP_GROUP = "view", "reported", "failure", "change", "stop"
"""The events of a round."""

JOINING, NEWCOMER, SYNCED = "joining", "newcomer", "synced"
MEMBER_STATES = (JOINING, NEWCOMER, SYNCED)
SHORT_VIEW, FULL_VIEW = "short view", "full view"
"""The events of a member."""


class Rule(Record):
    """One transition."""

    next: str
    """The next state."""
    actions: tuple[str, ...] = ()
    """The names of the actions."""
    when: str = ""
    """The name of the condition; empty for no condition."""


EVENTS = {
    VIEW: "a view with the quorum is formed",
    REPORTED: "no member owes a report",
    FAILURE: "a step failed or is late, or a service ended before `activate`",
    CHANGE: "the view ends",
    STOP_GROUP: "the group is stopped, or a keystone ended",
    SHORT_VIEW: "a view below the quorum is formed",
    FULL_VIEW: "a view with the quorum is formed",
}
CONDITIONS = {
    "empty": "the members have no services",
    "init_first": "the term `init` is `first`",
    "turns_left": "`serialize`: another member has not run `process`",
    "services_left": "another service follows",
    "services_before": "another service comes before",
    "tries_left": "the policy is `retry`, and retries are left",
}
ACTIONS = {
    "ask_init": "ask all members to run `init` of all services",
    "ask_process": "ask for `process` of the service (and for its `init` before, if `init` is `in-turn`)",
    "ask_next_in_turn": "ask the next member for `process`",
    "ask_activate": "ask for `activate` of the service, if it runs after the barrier",
    "take_next": "go to the next service",
    "forget_failures": "count the failures from 0 again",
    "complete": "report `completed`",
    "abort": "abort the steps on all members",
    "plan_retry": "plan the next try",
    "report_failure": "report `failed`",
    "record": "record the round",
    "forget_retry": "cancel the planned try",
    "begin_stop": "begin behind the last service",
    "take_previous": "go to the service before",
    "ask_stop": "ask the members that activated the service for `stop`",
    "skip": "skip the steps of the member",
    "stopped": "report `stopped`; then all members leave",
    "send_state": "send the state of the group, if there is one",
}

_BEGIN = (
    Rule(COMPLETED, ("complete",), "empty"),
    Rule(INIT, ("ask_init",), "init_first"),
    Rule(PROCESS, ("ask_process",)),
)
_FAILURE = (
    Rule(FAILED, ("abort", "plan_retry", "report_failure", "record"), "tries_left"),
    Rule(FAILED, ("abort", "report_failure", "record")),
)
ROUND: dict[tuple[str, str], tuple[Rule, ...]] = {
    (NONE, VIEW): _BEGIN,
    (INIT, REPORTED): (Rule(PROCESS, ("ask_process",)),),
    (PROCESS, REPORTED): (
        Rule(PROCESS, ("ask_next_in_turn",), "turns_left"),
        Rule(PROCESS, ("ask_activate", "take_next", "ask_process"), "services_left"),
        Rule(ACTIVATE, ("ask_activate", "take_next")),
    ),
    (ACTIVATE, REPORTED): (Rule(COMPLETED, ("forget_failures", "complete")),),
    **{(state, FAILURE): _FAILURE for state in RUNNING},
    **{(state, CHANGE): (Rule(NONE, ("abort", "record")),) for state in RUNNING},
    **{(state, CHANGE): (Rule(NONE, ("forget_retry",)),) for state in (NONE, COMPLETED, FAILED, STOPPED)},
    **{(state, STOP_GROUP): (Rule(STOPPING, ("abort", "record", "begin_stop")),) for state in RUNNING},
    **{(state, STOP_GROUP): (Rule(STOPPING, ("forget_retry", "begin_stop")),) for state in (NONE, COMPLETED, FAILED)},
    (STOPPING, REPORTED): (
        Rule(STOPPING, ("take_previous", "ask_stop"), "services_before"),
        Rule(STOPPED, ("stopped",)),
    ),
    (STOPPING, FAILURE): (Rule(STOPPING, ("skip",)),),
}
"""The transitions of a round."""

MEMBER: dict[tuple[str, str], tuple[Rule, ...]] = {
    (JOINING, SHORT_VIEW): (Rule(NEWCOMER),),
    (JOINING, FULL_VIEW): (Rule(SYNCED, ("send_state",)),),
    (NEWCOMER, SHORT_VIEW): (Rule(NEWCOMER),),
    (NEWCOMER, FULL_VIEW): (Rule(SYNCED, ("send_state",)),),
    (SYNCED, SHORT_VIEW): (Rule(SYNCED),),
    (SYNCED, FULL_VIEW): (Rule(SYNCED),),
}
"""The transitions of a member, from its request to join until it leaves."""
