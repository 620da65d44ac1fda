"""The kinds of the events of a group, as the hub, the members and the protocol name them."""

from __future__ import annotations

INIT, PROCESS, ACTIVATE, STOP = "init", "process", "activate", "stop"
STEPS = (INIT, PROCESS, ACTIVATE, STOP)
"""The kinds of events that ask a member to run a step of a service; the member reports each of them."""
MESSAGE, FIRST, PART, LAST = "message", "first", "part", "last"
MESSAGES = (MESSAGE, FIRST, PART, LAST)
"""The kinds of events with data of a sender: a message, or the first, a further or the last part of a message."""
STATE, VIEW = "state", "view"
ABORT, COMPLETED, FAILED, STOPPED = "abort", "completed", "failed", "stopped"
LEFT, ENDED, REMOVED = "left", "ended", "removed"
ENDS = (LEFT, ENDED, REMOVED)
"""The kinds of the last event of a member: it has left, the group was stopped, or the group has removed it."""
KINDS = frozenset((*STEPS, *MESSAGES, STATE, VIEW, ABORT, COMPLETED, FAILED, STOPPED, *ENDS))
