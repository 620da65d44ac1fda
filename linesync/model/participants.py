"""Clients, members and the causes of an absence. The rules for names and times are in :mod:`.names`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from .names import check_arrival, check_host, check_member, check_name, check_timeout
from .state.principal import Principal

__all__ = [
    "HUB",
    "LOST",
    "Cause",
    "Client",
    "cause_in_words",
    "check_arrival",
    "check_host",
    "check_member",
    "check_name",
    "check_timeout",
    "host_of",
    "names_in_words",
    "seconds_in_words",
]

HUB = "hub"  # the host name of the controller; no agent may use it

NAMES_SHOWN = 12  # the maximum number of names in one error message; further names are only counted


class Cause(StrEnum):
    """The cause of a party's absence, in the words of errors, ``status`` and ``--json``."""

    NEVER_SEEN = "never seen"
    LINE_LOST = "line lost"
    RESTARTED = "restarted"
    STOPPED = "stopped"
    ABORTED = "aborted"
    CLIENT_GONE = "client gone"
    GAVE_UP = "gave up"
    TIMED_OUT = "timed out"
    DEADLOCK = "deadlock"
    RESET = "reset"


LOST = (Cause.LINE_LOST, Cause.STOPPED)
"""The causes with which a host cannot arrive any more. A host that restarted can still arrive."""


@dataclass(frozen=True, slots=True)
class Client:
    """The owner of an arrival: the connection of one script.

    :ivar host: the host that the script runs on; ``hub`` for the controller's own scripts.
    :ivar number: its number. The hub never uses a number twice for one host, even after the host restarts.
    :ivar principal: the sender for display; None if it is not known. No decision depends on it.
    """

    host: str
    number: str
    principal: Principal | None = field(default=None, compare=False, repr=False)


def host_of(member: str) -> str:
    """The host of a member."""
    return member.partition("#")[0]


def cause_in_words(cause: str, why: str) -> str:
    """A cause, and the reason if it is known: ``line lost: nothing heard for 20 s``."""
    return f"{cause}: {why}" if why else str(cause)


def names_in_words(names: Iterable[str], total: int) -> str:
    """Up to twelve different names, and the number of further names: ``a, b (3 times), and 5 more``.

    :param total: the number of all names, including those that ``names`` does not contain.
    """
    counts = list(Counter(names).items())[:NAMES_SHOWN]
    parts = [f"{name} ({times} times)" if times > 1 else name for name, times in counts]
    rest = total - sum(times for _, times in counts)
    return ", ".join([*parts, f"and {rest} more"] if rest else parts) or "none"


def seconds_in_words(seconds: float) -> str:
    """A duration with three significant digits and without an exponent: ``0.412 s``, ``5 s``, ``3600 s``."""
    return f"{seconds:.0f} s" if seconds >= 100 else f"{seconds:.3g} s"
