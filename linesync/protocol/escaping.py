"""Text words: how names, arguments and values stand in a message.

A message is a run of words parted by single blanks. A word is printable ASCII; every other byte of its UTF-8 form,
and the blank, ``%`` and ``=``, is written ``%XX`` (two upper-case hex digits). The empty word is ``%.``. Bytes that are
no UTF-8 (a path, an argument) survive by surrogate escapes, as they do in :mod:`os`. An optional field is
``key=value``; the unescaped ``=`` is what tells it from a positional word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["is_simple", "join", "quote", "split", "unquote"]

_PLAIN = frozenset(range(0x21, 0x7F)) - {ord("%"), ord("=")}
_ESCAPE = [chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in range(256)]
_UNESCAPE = {f"{byte:02X}": byte for byte in range(256)}
_EMPTY = "%."


def quote(text: str) -> str:
    """Write any string (surrogate escapes allowed) as one word."""
    if not text:
        return _EMPTY
    if _is_plain(text) and "%" not in text:
        return text
    return "".join([_ESCAPE[byte] for byte in text.encode("utf-8", "surrogateescape")])


def unquote(word: str) -> str:
    """Read a word back.

    :raises ValueError: the word is empty, holds a byte that should have been escaped, or a broken escape.
    """
    if "%" not in word:
        if not word or not _is_plain(word):
            raise ValueError(f"not a word: {word[:40]!r}")
        return word
    if word == _EMPTY:
        return ""
    if not _is_plain(word):
        raise ValueError(f"not a word: {word[:40]!r}")
    head, *parts = word.split("%")
    out = bytearray(head.encode("ascii"))
    for part in parts:
        byte = _UNESCAPE.get(part[:2])
        if byte is None:
            raise ValueError(f"broken escape in word: {word[:40]!r}")
        out.append(byte)
        out += part[2:].encode("ascii")
    return out.decode("utf-8", "surrogateescape")


def _is_plain(text: str) -> bool:
    """Nothing in it should have been escaped."""
    return text.isascii() and (text.isprintable() or not text) and " " not in text and "=" not in text


def is_simple(text: str) -> bool:
    """A message is nothing but positional words that need no escapes: it may be split at its blanks."""
    plain = text.isascii() and text.isprintable() and "%" not in text and "=" not in text
    return plain and "  " not in text and text[:1] != " " and text[-1:] not in ("", " ")


def join(positional: Iterable[str], options: Mapping[str, str] | None = None) -> str:
    """Write a message: positional words first, then ``key=value`` words in the mapping's order."""
    words = [quote(text) for text in positional]
    if options:
        words += [f"{key}={quote(value)}" for key, value in options.items()]
    return " ".join(words)


def split(text: str) -> tuple[list[str], dict[str, str]]:
    """Read a message back into positional words and options.

    :raises ValueError: a word is malformed, an option stands twice, or a positional word follows an option.
    """
    positional: list[str] = []
    options: dict[str, str] = {}
    for word in text.split(" "):
        key, equals, value = word.partition("=")
        if not equals:
            if options:
                raise ValueError("a positional word follows an option")
            positional.append(unquote(word))
        elif key in options:
            raise ValueError(f"option {key} stands twice")
        else:
            options[key] = unquote(value)
    return positional, options
