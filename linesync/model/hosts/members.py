"""Folded lists of members: ``sut[1-8]#[1-125]`` means a thousand names.

A folded list is a list of names with commas between them. Square brackets in a name contain numbers and ranges; each number
makes one name: ``a[1-3,7]``. If the first number of a range begins with 0, all numbers get the same width: ``n[08-10]``
means n08, n09, n10. Users write such lists after ``--members``. On the line, they make the request of a large barrier short.
The syntax is that of the host lists of clustershell and slurm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product

from ...errors import UsageError
from ..names import WORD_CHARS, check_member

__all__ = ["MEMBERS_MAX", "fold", "unfold"]

MEMBERS_MAX = 10_000  # the maximum number of members of one list
_NUMBERS = re.compile(r"(\d+)", re.ASCII)
_DIGITS = 9  # the maximum number of digits of a number that is folded
_FOLDED = 4  # only the last four numbers of a name are folded, because a name may contain many numbers
_NAME_CHARS = 2 * WORD_CHARS + 1  # characters of the longest name


def unfold(text: str) -> tuple[str, ...]:
    """The names of a folded list, each once, in the order of the list.

    :raises UsageError: the list or a name in it is not valid, or the list has more than 10,000 names.
    """
    names: dict[str, None] = {}
    written = 0
    for item in _items(text):
        found = _expand(item)
        written += len(found)
        if written > MEMBERS_MAX:
            raise UsageError(f"a list of members has at most {MEMBERS_MAX} names, but this list has more")
        for name in found:
            check_member(name)
            names[name] = None
    return tuple(names)


def fold(names: Iterable[str]) -> str:
    """The sorted folded list of these names. The order of the names does not change the text."""
    keys = {_parts(name) for name in names}
    groups: list[tuple[list[str], ...]] = [tuple([part] for part in key) for key in sorted(keys)]
    for position in range(max((len(group) for group in groups), default=0) - 2, 0, -2):
        groups = _merged(groups, position)
    return ",".join("".join(_written(part, n % 2 == 1) for n, part in enumerate(group)) for group in groups)


def _parts(name: str) -> tuple[str, ...]:
    """A name split into text, number, text, number ... text."""
    parts = _NUMBERS.split(name)
    last = 2 * _FOLDED
    return ("".join(parts[:-last]), *parts[-last:]) if len(parts) > last + 1 else tuple(parts)


def _merged(groups: list[tuple[list[str], ...]], position: int) -> list[tuple[list[str], ...]]:
    """Join the groups that differ only in the number at this position."""
    found: dict[tuple[object, ...], tuple[list[str], ...]] = {}
    for group in groups:
        if len(group) <= position or len(group[position][0]) > _DIGITS:
            found[object(), 0] = group
            continue
        padded = len(group[position][0]) if group[position][0].startswith("0") else 0
        key = (*(tuple(part) for n, part in enumerate(group) if n != position), position, len(group), padded)
        if key in found:
            found[key][position].extend(group[position])
        else:
            found[key] = group
    return list(found.values())


def _written(part: list[str], number: bool) -> str:
    """A text, or the list of the numbers at one position of the names, in square brackets if there are several."""
    if not number or len(part) == 1:
        return part[0]
    values = sorted(part, key=int)
    runs: list[list[str]] = []
    for value in values:
        if runs and int(value) == int(runs[-1][-1]) + 1 and len(value) >= len(runs[-1][-1]):
            runs[-1].append(value)
        else:
            runs.append([value])
    return "[" + ",".join(run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs) + "]"


def _items(text: str) -> list[str]:
    """The items of a folded list, which are separated by the commas outside brackets."""
    items, item, depth = [], "", 0
    for char in text:
        if char == "," and depth == 0:
            items.append(item)
            item = ""
            continue
        depth += (char == "[") - (char == "]")
        if depth not in (0, 1):
            raise UsageError(f"invalid list of members {text[:64]!a}: its brackets do not match")
        item += char
    if depth:
        raise UsageError(f"invalid list of members {text[:64]!a}: its brackets do not match")
    return [*items, item]


def _expand(item: str) -> list[str]:
    """The names that one item of a folded list stands for."""
    parts: list[list[str]] = []
    count, chars = 1, 0
    for part in re.split(r"(\[[^\]]*\])", item):
        choices = _range(part[1:-1]) if part.startswith("[") else [part]
        count, chars = count * len(choices), chars + len(choices[0])
        if count > MEMBERS_MAX:
            raise UsageError(f"a list of members has at most {MEMBERS_MAX} names, but this list has more")
        if chars > _NAME_CHARS:
            raise UsageError(f"invalid member {item[:WORD_CHARS]!a}...: a name has at most {_NAME_CHARS} characters")
        parts.append(choices)
    return ["".join(chosen) for chosen in product(*parts)]


def _range(text: str) -> list[str]:
    """The numbers in one pair of brackets, such as ``1-4,7``."""
    choices: list[str] = []
    for piece in text.split(","):
        found = re.fullmatch(rf"(\d{{1,{_DIGITS}}})(?:-(\d{{1,{_DIGITS}}}))?", piece, re.ASCII)
        if found is None:
            raise UsageError(f"invalid range {text[:64]!a}: expected numbers such as [1-8] or [1-4,7]")
        first, last = found[1], found[2] or found[1]
        if not 0 <= int(last) - int(first) < MEMBERS_MAX:
            raise UsageError(f"invalid range {first}-{last}: it is empty or holds more than {MEMBERS_MAX} numbers")
        width = len(first) if first.startswith("0") else 0
        choices += [f"{number:0{width}}" for number in range(int(first), int(last) + 1)]
        if len(choices) > MEMBERS_MAX:
            raise UsageError(f"a list of members has at most {MEMBERS_MAX} names, but this list has more")
    return choices
