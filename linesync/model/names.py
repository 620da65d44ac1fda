"""The rules for names, arrival ids, members and times. The hub and the clients use them.

Each function returns nothing, or raises :class:`UsageError` for an invalid value. The services check all names and times with
these functions before they change their tables. This module imports little, because every small command uses it.
"""

from __future__ import annotations

import math
import re

from ..errors import UsageError

__all__ = ["check_arrival", "check_host", "check_member", "check_name", "check_process", "check_timeout"]

NAME_BYTES = 200  # the maximum size of a name of a barrier, a semaphore ... or a namespace, in bytes of UTF-8
ARRIVAL_CHARS = 64  # the maximum length of an arrival id
WORD_CHARS = 64  # the maximum length of a host name or a member's tag
TIMEOUT_MAX = 10 * 365 * 86400.0  # seconds; no useful timeout is longer, and calculations with it cannot overflow

_WORD = re.compile(rf"[A-Za-z0-9._-]{{1,{WORD_CHARS}}}")
_PROCESS_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_WORD_RULE = f"1 to {WORD_CHARS} letters, digits, dots, underscores or hyphens"
_NAMES_KEPT = 1024  # the size of the set of valid names; most requests repeat a name that was already checked
_good_names: set[tuple[str, str]] = set()
_UNPRINTABLE = {"Cc", "Zl", "Zp"}  # controls, line and paragraph separators


def check_name(kind: str, name: str) -> None:
    """Refuse a name that is not 1 to 200 bytes of UTF-8 without control characters.

    :param kind: the kind of name, for the message: "barrier", "semaphore", "namespace" ...
    """
    if (kind, name) in _good_names:
        return
    article = "an" if kind[:1] in "aeiou" else "a"
    categories = set() if name.isascii() and name.isprintable() else _categories(name[: NAME_BYTES + 1])
    if "Cs" in categories:  # a surrogate escape, which stands for a byte that is not UTF-8
        raise UsageError(f"invalid {kind} name: it is not UTF-8; use letters, digits and punctuation")
    if categories & _UNPRINTABLE:
        raise UsageError(
            f"{article} {kind} name cannot contain control characters; use letters, digits and punctuation"
        )
    if not 1 <= len(name) <= NAME_BYTES or len(name.encode()) > NAME_BYTES:
        raise UsageError(f"invalid {kind} name: expected 1 to {NAME_BYTES} bytes")
    if len(_good_names) >= _NAMES_KEPT:
        _good_names.clear()
    _good_names.add((kind, name))


def _categories(text: str) -> set[str]:
    """The Unicode categories of the characters of a text."""
    import unicodedata  # few names need it

    return {unicodedata.category(char) for char in text}


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


def check_process(handle: str) -> None:
    """Refuse a handle of a detached process that is not a host name, a slash and a number from 1 on."""
    host, _, number = handle.partition("/")
    if not (_WORD.fullmatch(host) and _PROCESS_NUMBER.fullmatch(number)):
        raise UsageError(f"invalid process {handle[: 2 * WORD_CHARS]!a}: expected HOST/NUMBER, as in sut/3")


def check_timeout(timeout: float | None) -> None:
    """Refuse a timeout that is not None (no limit), 0 (poll) or a number of seconds up to ten years."""
    if timeout is not None and not (math.isfinite(timeout) and 0 <= timeout <= TIMEOUT_MAX):
        raise UsageError(f"invalid timeout {timeout}: expected 0 to {TIMEOUT_MAX:.0f} seconds")
