"""Clients, members, the causes of an absence, and the rules for names and times.

Each ``check_`` function returns nothing or raises :class:`UsageError`, and changes nothing. So no invalid name, count or
time reaches the tables of a service.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from ..errors import UsageError
from .state.principal import Principal

__all__ = [
    "HUB",
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

NAME_BYTES = 200  # of UTF-8: names of barriers, semaphores ... and of namespaces
ARRIVAL_CHARS = 64  # of an arrival id
WORD_CHARS = 64  # of a host name or a member's tag
TIMEOUT_MAX = 10 * 365 * 86400.0  # seconds; more is a mistake, and no arithmetic on it can overflow
NAMES_SHOWN = 12  # names in one error message; the others are only counted

_WORD = re.compile(rf"[A-Za-z0-9._-]{{1,{WORD_CHARS}}}")
_WORD_RULE = f"1 to {WORD_CHARS} letters, digits, dots, underscores or hyphens"
_NAMES_KEPT = 1024  # names that were recently checked and are valid; most requests repeat a name
_good_names: set[tuple[str, str]] = set()
_UNPRINTABLE = {"Cc", "Zl", "Zp"}  # controls, line and paragraph separators


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


def check_name(what: str, name: str) -> None:
    """Refuse a name that is not 1 to 200 bytes of UTF-8 without control characters.

    :param what: the kind of name, for the message: "barrier", "semaphore", "namespace" ...
    """
    if (what, name) in _good_names:
        return
    article = "an" if what[:1] in "aeiou" else "a"
    kinds = {unicodedata.category(char) for char in name[: NAME_BYTES + 1]}
    if "Cs" in kinds:  # a surrogate escape, which stands for a byte that is not UTF-8
        raise UsageError(f"invalid {what} name: it is not UTF-8; use letters, digits and punctuation")
    if kinds & _UNPRINTABLE:
        raise UsageError(
            f"{article} {what} name cannot contain control characters; use letters, digits and punctuation"
        )
    if not 1 <= len(name) <= NAME_BYTES or len(name.encode()) > NAME_BYTES:
        raise UsageError(f"invalid {what} name: expected 1 to {NAME_BYTES} bytes")
    if len(_good_names) >= _NAMES_KEPT:
        _good_names.clear()
    _good_names.add((what, name))


def check_arrival(arrival: str) -> None:
    """Refuse an arrival id that is not 1 to 64 printable ASCII characters."""
    if not (1 <= len(arrival) <= ARRIVAL_CHARS and arrival.isascii() and arrival.isprintable()):
        raise UsageError(f"invalid arrival id: expected 1 to {ARRIVAL_CHARS} printable ASCII characters")


def check_host(name: str) -> None:
    """Refuse a host name that is not 1 to 64 letters, digits, dots, underscores and hyphens."""
    if not _WORD.fullmatch(name):
        raise UsageError(f"invalid host name {name[:WORD_CHARS]!a}: expected {_WORD_RULE}")


def check_member(name: str) -> None:
    """Refuse a member that is neither ``host`` nor ``host#tag``; a tag follows the rules of a host name."""
    host, mark, tag = name.partition("#")
    check_host(host)
    if mark and not _WORD.fullmatch(tag):
        raise UsageError(f"invalid member tag {tag[:WORD_CHARS]!a}: expected {_WORD_RULE}")


def check_timeout(timeout: float | None) -> None:
    """Refuse a timeout that is not None (no limit), 0 (poll) or a number of seconds up to ten years."""
    if timeout is not None and not (math.isfinite(timeout) and 0 <= timeout <= TIMEOUT_MAX):
        raise UsageError(f"invalid timeout {timeout}: expected 0 to {TIMEOUT_MAX:.0f} seconds")


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
