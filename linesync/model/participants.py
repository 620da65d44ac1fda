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

HUB = "hub"  # the controller's own host name; no agent may take it

NAMES_SHOWN = 12  # names in one error message; the others are only counted


class Cause(StrEnum):
    """Why a party is absent, as errors, ``status`` and ``--json`` show it."""

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
"""The causes for which a host cannot arrive. A host that restarted can."""


@dataclass(frozen=True, slots=True)
class Client:
    """The owner of an arrival: the connection of one script.

    :ivar host: the host that the script runs on; ``hub`` for the controller's own scripts.
    :ivar number: its number; the hub never uses a number twice for one host, even after the host restarts.
    :ivar principal: who it is, for those who look; no decision depends on it. None if it is not known.
    """

    host: str
    number: str
    principal: Principal | None = field(default=None, compare=False, repr=False)


def host_of(member: str) -> str:
    """The host of a member."""
    return member.partition("#")[0]


def cause_in_words(cause: str, why: str) -> str:
    """``line lost: nothing heard for 20 s``: a cause, and the reason if it is known."""
    return f"{cause}: {why}" if why else str(cause)


def names_in_words(names: Iterable[str], total: int) -> str:
    """``a, b (3 times), and 5 more``: up to twelve different names, and how many of ``total`` are not named."""
    counts = list(Counter(names).items())[:NAMES_SHOWN]
    parts = [f"{name} ({times} times)" if times > 1 else name for name, times in counts]
    rest = total - sum(times for _, times in counts)
    return ", ".join([*parts, f"and {rest} more"] if rest else parts) or "none"


def seconds_in_words(seconds: float) -> str:
    """``0.412 s``, ``5 s``, ``3600 s``: three significant digits, and no exponent."""
    return f"{seconds:.0f} s" if seconds >= 100 else f"{seconds:.3g} s"
