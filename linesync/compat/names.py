"""Other tools' host ids as names of members, and back.

An autotest host id is an address and perhaps a tag: ``client1#2``, ``10.0.0.7``, ``::1``. A member is ``host`` or
``host#tag``, both of letters, digits, dots, underscores and hyphens. What an id has beyond that is written as ``_`` and the
two hex digits of each byte: ``::1`` is ``_3A_3A1``. An underscore that looks like the beginning of that is written so
too (``_5F``), so that every id has its own member, and every member made here its id.
"""

from __future__ import annotations

import re

__all__ = ["id_of", "member_of"]

_LONGEST = 64  # characters of a host's name and of a tag
_OTHER = re.compile(rb"[^A-Za-z0-9._-]|_(?=[0-9A-F]{2})")
_ESCAPED = re.compile(rb"_([0-9A-F]{2})")


def member_of(identity: str) -> str:
    """The member's name for a host id. One that is a member's name already stays as it is.

    Where the escaped form would be too long (over 64 characters of either part), its end is a digest: then
    :func:`id_of` does not give the id back.
    """
    host, mark, tag = identity.partition("#")
    if host and tag:
        return f"{_word(host)}#{_word(tag)}"
    return _word(identity)


def id_of(member: str) -> str:
    """The host id that a member stands for."""
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
