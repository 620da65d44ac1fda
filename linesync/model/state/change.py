"""A change of the state."""

from __future__ import annotations

from .principal import Principal
from .record import State

__all__ = ["KINDS", "LOST", "Change"]

LOST = "changes lost"
_OBJECTS = ("barrier", "exchange", "lock", "semaphore", "event", "message", "group", "claim", "process", "deletion")
KINDS: dict[tuple[str, ...], str] = {
    ("host up",): "a host registered, or was heard again after it was lost",
    ("host lost",): "the lease of a host ran out",
    ("host stopped", "host restarted"): "the session with a host's agent ended",
    ("barrier arrival", "exchange arrival"): "`who` arrived",
    ("barrier released",): "all parties have arrived; `value` is the generation",
    ("barrier aborted",): "`who` aborted the barrier; `why` is its reason",
    ("exchange complete",): "all members have given their data; `value` is the generation",
    ("lock taken",): "`who` has the lock; `value` is the fencing token",
    ("lock given back",): "`who` no longer has the lock; `value` is its fencing token",
    ("semaphore changed",): "`who` gave or took units, or the hub took units back from `who`; `value` is the number of "
    "units that are left",
    ("event set", "event cleared"): "`who` changed the event; setting an event that is already set is not a change",
    ("message sent",): "`who` sent a message; `value` is its number",
    tuple([f"{thing} waiting" for thing in _OBJECTS[2:]]): "`who` waits",
    tuple([f"{thing} left" for thing in _OBJECTS]): "the wait of `who` ended without success; `why` is the cause",
    tuple(
        [f"{thing} failed" for thing in _OBJECTS]
    ): "one or more waits failed together; `why` is the error of the first",
    ("member joined", "member left"): "`who` joined the group `name`, or left it; `why` is the cause",
    (
        "view formed",
    ): "the group has a new view; `value` is the epoch of its ring id; `why` is `retry` or `rerun` if no "
    "member joined or left",
    ("round begun",): "the members of the group run their services; `value` is the epoch; `why` names services with "
    "different versions",
    ("round completed", "round aborted", "round failed"): "the round is over; `why` is the reason",
    ("service ended",): "service `value` of `who` has ended by itself; `why` says more",
    (
        "namespace begun",
        "namespace ended",
    ): "`who` began or ended the namespace, or the owner of the namespace on `who` has ended; `name` is empty",
    ("test created", "test deleted"): "the test `name` (a handle) began, or ended; `why` is the cause",
    ("host claimed", "host released"): "the test `name` (a handle) got the host `who`, or no longer has it",
    (
        "process ended",
    ): "the process `name` (a handle) on the host `who` has ended; `value` is its exit status, and `why` its state",
    ("reset",): "`who` reset the name, or all names of the namespace if `name` is empty",
    (LOST,): "this follower did not read in time and lost `value` changes; `number` is the number of the last lost "
    "change",
}
"""The kinds of changes and their meanings, for documentation and tests."""


class Change(State):
    """A change of the state of a hub."""

    number: int
    """the number of the change at this hub, from 1"""
    time: str
    """the time of the change in UTC: ``2026-11-29T09:30:00.123Z``"""
    kind: str
    """the kind of change: one of the [kinds](#kinds-of-changes)"""
    namespace: str
    """the namespace; empty for a host"""
    name: str
    """the host, barrier, semaphore, lock, exchange or event, or the ID of messages"""
    who: str
    """the member or the host that changed it; empty if there is none"""
    value: int | None
    """the number that belongs to this kind, or ``null``"""
    why: str
    """the cause or the error; else empty"""
    by: Principal | None
    """the sender of the request that caused the change, or the client that waited or held: an object with ``line``,
    ``host``, ``script`` and ``uid``; ``null`` if there was no request, as when a lease runs out"""
