"""Payload forms: how a frame's bytes stand on the line.

``base64`` (base64url without padding) passes any line that carries printable ASCII. ``eight`` sends bytes as they are
and escapes only four: a newline would end the frame, a carriage return may be rewritten, the start character begins a
frame, and the escape character itself. An escaped byte is ``}`` and the byte with bit 5 turned over, which is
printable for all four.
"""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64

from .digits import ALPHABET

__all__ = ["decode_base64", "decode_eight", "encode_base64", "encode_eight", "raw_room"]

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")
_PAD = (b"", None, b"==", b"=")


def encode_base64(data: bytes) -> bytes:
    return b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=")


def decode_base64(text: bytes) -> bytes | None:
    """The bytes, or None when the text is no base64url."""
    pad = _PAD[len(text) & 3]
    if pad is None or text.translate(None, ALPHABET):
        return None
    try:
        return a2b_base64(text.translate(_FROM_URL) + pad, strict_mode=True)
    except Error:
        return None


def encode_eight(data: bytes) -> bytes:
    # The escape character first, so that the others' escapes are not escaped again.
    return data.replace(b"}", b"}]").replace(b"\n", b"}*").replace(b"\r", b"}-").replace(b"^", b"}~")


def decode_eight(text: bytes) -> bytes | None:
    """The bytes, or None when an escape is one that no sender makes."""
    if b"}" not in text:
        return text
    head, *parts = text.split(b"}")
    out = [head]
    for part in parts:
        byte = _UNESCAPE.get(part[:1])
        if byte is None:
            return None
        out += (byte, part[1:])
    return b"".join(out)


_UNESCAPE = {b"]": b"}", b"*": b"\n", b"-": b"\r", b"~": b"^"}


def raw_room(text_room: int, *, eight: bool) -> int:
    """How many payload bytes go into a frame with ``text_room`` characters for them. In the ``eight`` form the text may
    then be up to twice as long, which is why a receiver that takes that form holds twice the length it announces."""
    return text_room if eight else text_room * 3 // 4
