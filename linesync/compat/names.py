"""Convert host ids of other tools to names of members, and back.

An autotest host id is an address, with or without a tag: ``client1#2``, ``10.0.0.7``, ``::1``. A member is ``host`` or
``host#tag``; both parts consist of letters, digits, dots, underscores and hyphens. Every other byte of an id is written as
``_`` and two hex digits: ``::1`` becomes ``_3A_3A1``. An underscore before two hex digits is written as ``_5F``. Different ids
therefore have different members, and a member can be converted back to its id.
"""

from __future__ import annotations

import re

__all__ = ["id_of", "member_of"]

_LONGEST = 64  # characters of a host's name and of a tag
_OTHER = re.compile(rb"[^A-Za-z0-9._-]|_(?=[0-9A-F]{2})")
_ESCAPED = re.compile(rb"_([0-9A-F]{2})")


def member_of(identity: str) -> str:
    """The member for a host id. An id that is already the name of a member does not change.

    If a part of the escaped form has more than 64 characters, a digest replaces its end. :func:`id_of` cannot convert such a
    member back.
    """
    host, mark, tag = identity.partition("#")
    if host and tag:
        return f"{_word(host)}#{_word(tag)}"
    return _word(identity)


def id_of(member: str) -> str:
    """The host id for a member: the inverse of :func:`member_of`."""
    return "#".join(_read(part) for part in member.split("#"))


def _word(text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    word = _OTHER.sub(lambda found: b"_%02X" % found[0][0], data).decode("ascii")
    if 0 < len(word) <= _LONGEST:
        return word
    from hashlib import sha256

    return f"{word[:40]}..{sha256(data).hexdigest()[:20]}"


def _read(word: str) -> str:
    data = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), word.encode("utf-8", "surrogateescape"))
    return data.decode("utf-8", "surrogateescape")
