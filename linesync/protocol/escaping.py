"""Escapes the words of a message: names, arguments and values.

A message is a sequence of words that are separated by single spaces. A word consists of printable ASCII characters. Each
other byte of its UTF-8 form, and each space, ``%`` and ``=``, is written as ``%XX`` (two upper-case hex digits). The empty
word is ``%.``. Bytes that are not UTF-8 (in a path or an argument) are preserved by surrogate escapes, as in :mod:`os`. An
option is ``key=value``; the unescaped ``=`` distinguishes it from a positional word.
"""

from __future__ import annotations

import re
from binascii import a2b_qp
from collections.abc import Iterable, Mapping

__all__ = ["is_simple", "join", "quote", "split", "unquote"]

_PLAIN = frozenset(range(0x21, 0x7F)) - {ord("%"), ord("=")}
_ESCAPE = [chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in range(256)]
_INVALID_ESCAPE = re.compile("%(?![0-9A-F]{2})")
_EMPTY = "%."


def quote(text: str) -> str:
    """Write any string as one word. The string may contain surrogate escapes."""
    if not text:
        return _EMPTY
    if _is_plain(text) and "%" not in text:
        return text
    return "".join([_ESCAPE[byte] for byte in text.encode("utf-8", "surrogateescape")])


def unquote(word: str) -> str:
    """The string that :func:`quote` has written as a word.

    :raises ValueError: the word is empty, contains a character that needs an escape, or contains an invalid escape.
    """
    if "%" not in word:
        if not word or not _is_plain(word):
            raise ValueError(f"not a word: {word[:40]!r}")
        return word
    if word == _EMPTY:
        return ""
    if not _is_plain(word):
        raise ValueError(f"not a word: {word[:40]!r}")
    if _INVALID_ESCAPE.search(word):
        raise ValueError(f"invalid escape in word: {word[:40]!r}")
    # With "=" instead of "%", a word is quoted-printable text without line breaks. A C library can read this.
    return a2b_qp(word.replace("%", "=").encode("ascii")).decode("utf-8", "surrogateescape")


def _is_plain(text: str) -> bool:
    """Whether no character of a word needs an escape."""
    return text.isascii() and (text.isprintable() or not text) and " " not in text and "=" not in text


def is_simple(text: str) -> bool:
    """Whether a message contains only positional words without escapes, so that it can be split at its spaces."""
    plain = text.isascii() and text.isprintable() and "%" not in text and "=" not in text
    return plain and "  " not in text and text[:1] != " " and text[-1:] not in ("", " ")


def join(positional: Iterable[str], options: Mapping[str, str] | None = None) -> str:
    """Write a message: first the positional words, then the options in the order of the mapping."""
    words = [quote(text) for text in positional]
    if options:
        words += [f"{key}={quote(value)}" for key, value in options.items()]
    return " ".join(words)


def split(text: str) -> tuple[list[str], dict[str, str]]:
    """Read the positional words and the options of a message.

    :raises ValueError: a word is malformed, an option is repeated, or a positional word follows an option.
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
            raise ValueError(f"option {key} is repeated")
        else:
            options[key] = unquote(value)
    return positional, options
