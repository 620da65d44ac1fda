"""The operations of groups, and the events of a group as words of a reply.

A batch of events is one reply: the number of its first event, and then the words of each event. The numbers of the events
grow by one; ``+N`` before an event adds N to its number. The first character of an event's word is its kind:

====== ==================================================================================
``i``  ``init``, followed by the id of the service; the same for ``p`` (``process``), ``a`` (``activate``), ``s`` (``stop``)
``m``  a message, followed by its sender; the next word is its data. ``n``, ``o``, ``w``: the first, a further and the last
       part of one; ``g``: the group's state
``v``  a view as JSON
``x``  ``abort``, followed by the reason; ``c``: ``completed``; ``f``: ``failed``; ``z``: ``stopped``
``l``  the member has left; ``e``: the group was stopped; ``r``: the group has removed the member, followed by the cause
====== ==================================================================================
"""

from __future__ import annotations

from .. import group_kinds as kinds
from ..errors import LinesyncFailed, UsageError
from ..frozen_record import Record
from .codec import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "GroupAnnounce",
    "GroupCast",
    "GroupEventWords",
    "GroupJoin",
    "GroupLeave",
    "GroupMembers",
    "GroupNext",
    "GroupPost",
    "GroupRerun",
    "GroupShow",
    "GroupStop",
    "data_size",
    "data_word",
    "event_words",
    "read_data",
    "read_event_words",
]

_LETTERS = {
    kinds.INIT: "i",
    kinds.PROCESS: "p",
    kinds.ACTIVATE: "a",
    kinds.STOP: "s",
    kinds.MESSAGE: "m",
    kinds.FIRST: "n",
    kinds.PART: "o",
    kinds.LAST: "w",
    kinds.STATE: "g",
    kinds.VIEW: "v",
    kinds.ABORT: "x",
    kinds.COMPLETED: "c",
    kinds.FAILED: "f",
    kinds.STOPPED: "z",
    kinds.LEFT: "l",
    kinds.ENDED: "e",
    kinds.REMOVED: "r",
}
_KINDS = {letter: kind for kind, letter in _LETTERS.items()}
_STEPS, _WITH_DATA = "ipas", "mnowg"


class GroupJoin(Message):
    """Client to hub: become a member of a group. Reply: the number of the member, its name, and the number before its first
    event."""

    VERB = "join"
    name: str
    ns: str = "default"
    tag: str = ""
    """The member is ``host#tag``."""
    Terms: str = ""
    """The terms of the group as JSON: fields that are not the default."""
    Services: str = ""
    """The services of the member as JSON, an array of objects."""
    Passive: bool = False
    """The client's host is the member, even after the client has ended, and gets no events."""


class GroupLeave(Message):
    """Client to hub: a member of this host leaves a group. Reply: empty."""

    VERB = "leave"
    name: str
    ns: str = "default"
    tag: str = ""
    member: int = 0
    """The number of the member, which must belong to the client; 0 for any member with this name."""


class GroupAnnounce(Message):
    """Client to hub: replace the services of a member. Reply: empty."""

    VERB = "announce"
    member: int
    services: str
    """As JSON."""


class GroupNext(Message):
    """Client to hub: the next events of a member, which has got those up to ``after``. It waits until there are some. It ends
    the earlier request of the member, which then gets no events. Reply: a batch of events."""

    VERB = "next"
    member: int
    after: int
    done: int = 0
    """The step that the member reports, by its number; or the service, if ``result`` is ``ended``."""
    result: str = "done"
    """``done``, ``again``, ``failed`` or ``ended``."""
    text: str = ""
    """Why it failed or ended."""
    Runs: int = 0
    """The step that it runs now, while later steps wait; 0 if it is not known."""
    Full: bool = False
    """It has many unread messages: it waits until the round has ended, or the member has."""


class GroupCast(Message):
    """Client to hub: a message to all members. Reply: its number, when the sender may send the next one."""

    VERB = "cast"
    member: int
    epoch: int
    """The view in which it is sent."""
    data: str
    """The data; ``b`` and base64, or ``t`` and text."""
    Part: bool = False
    """It belongs to the parts that came before."""
    More: bool = False
    """Other parts of the message follow."""
    State: bool = False
    """The message also replaces the state that newcomers get."""


class GroupPost(Message):
    """Client to hub: a message to all members from a member of this host, in the present view. Reply: its number."""

    VERB = "post"
    name: str
    data: str
    """As in ``cast``."""
    ns: str = "default"
    tag: str = ""
    """The sender is ``host#tag``."""
    Part: bool = False
    """It belongs to the parts that came before."""
    More: bool = False
    """Other parts of the message follow."""


class GroupMembers(Message):
    """Client to hub: wait until a group has so many members. Reply: the members, the oldest first."""

    VERB = "members"
    name: str
    count: int
    ns: str = "default"
    timeout: float | None = None
    arrival: str = ""


class GroupRerun(Message):
    """Client to hub: begin another round of a group. Reply: empty."""

    VERB = "rerun"
    name: str
    service: int = -1
    """The only service of the round; -1 for all."""
    ns: str = "default"


class GroupStop(Message):
    """Client to hub: stop the services of a group, and end the group. Reply: empty."""

    VERB = "stop"
    name: str
    ns: str = "default"


class GroupShow(Message):
    """Client to hub: the state of a group. Reply: JSON in one field."""

    VERB = "group"
    name: str
    ns: str = "default"


class GroupEventWords(Record):
    """One event of a batch."""

    number: int
    """Its number in the log of the group."""
    kind: str
    """The kind of event."""
    service: int = -1
    """The service of a step; else -1."""
    sender: str = ""
    """The sender of a message; else empty."""
    data: str = ""
    """The data of a message, the JSON of a view, or a text."""


def data_word(data: bytes) -> str:
    """Write the data of a message as one word: printable ASCII as ``t`` and the text, else as ``b`` and base64."""
    if data.isascii() and data.decode().isprintable():
        return f"t{data.decode()}"
    import base64  # most messages are text

    return f"b{base64.b64encode(data).decode()}"


def read_data(word: str) -> bytes:
    """Read what :func:`data_word` has written.

    :raises LinesyncFailed: it is malformed.
    """
    if word[:1] == "t":
        return word[1:].encode("utf-8", "surrogateescape")
    import base64

    try:
        if word[:1] != "b":
            raise ValueError
        return base64.b64decode(word[1:], validate=True)
    except ValueError:
        raise LinesyncFailed("the hub sent a message of a group that cannot be read; update linesync here") from None


def data_size(word: str) -> int:
    """The size of the data in a word, in bytes.

    :raises UsageError: it is malformed.
    """
    try:
        return len(read_data(word))
    except LinesyncFailed:
        raise UsageError("invalid data of a message: expected t and text, or b and base64") from None


def event_words(events: Iterable[tuple[int, str, int, str, str]]) -> list[str]:
    """The words of a batch.

    :param events: the number, kind, service, sender and data of each event.
    """
    words: list[str] = []
    expected = None
    for number, kind, service, sender, data in events:
        if expected is None:
            words.append(str(number))
        elif number > expected:
            words.append(f"+{number - expected}")
        expected = number + 1
        letter = _LETTERS[kind]
        if letter in _STEPS:
            words.append(f"{letter}{service}")
        elif letter in _WITH_DATA:
            words += [letter + sender, data]
        else:
            words.append(letter + data)
    return words


def read_event_words(words: Iterable[str]) -> list[GroupEventWords]:
    """Read a batch. An event of a kind that is not known here is skipped.

    :raises LinesyncFailed: it is malformed.
    """
    found: list[GroupEventWords] = []
    rest = iter(words)
    try:
        number = int(next(rest, "0"))
        for word in rest:
            letter, text = word[:1], word[1:]
            if letter == "+":
                number += int(text)
                continue
            kind = _KINDS.get(letter, "")
            if letter in _STEPS:
                found.append(GroupEventWords(number, kind, int(text)))
            elif letter in _WITH_DATA:
                found.append(GroupEventWords(number, kind, -1, text, next(rest)))
            elif kind:
                found.append(GroupEventWords(number, kind, -1, "", text))
            number += 1
    except (ValueError, StopIteration):
        raise LinesyncFailed("the hub sent events of a group that cannot be read; update linesync here") from None
    return found
