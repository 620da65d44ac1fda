"""Payload forms: how a frame's bytes stand on the line.

``base64`` (base64url without padding) passes any line that carries printable ASCII.

``eight`` sends bytes as they are and escapes only four: a newline would end the frame, a carriage return may be
rewritten, the start character begins a frame, and the escape character itself. An escaped byte is ``=`` and two
hexadecimal digits, as in quoted-printable text (RFC 2045, 6.7), which every library reads: one that is written in C does
it three times as fast as anything that Python's own loops can do with shorter escapes, and on a clean pipe bytes cost
less than the time to make them.

``masked`` is for lines on which every byte costs time, and some bytes come to harm: what the line harms is escaped too,
and before that each 256 bytes are masked, with the one of 64 masks that leaves the fewest to escape. For random bytes
and four to escape that is one in 250 instead of one in 64. (The idea of consistent overhead byte stuffing, Cheshire and
Baker 1999: spend a digit to have no forbidden byte left.)
"""

from __future__ import annotations

from binascii import Error, a2b_base64, a2b_qp, b2a_base64
from functools import cache

from .digits import ALPHABET
from .encoded import Encoded

__all__ = [
    "ALWAYS",
    "SEGMENT",
    "MaskedForm",
    "decode_base64",
    "decode_eight",
    "decode_masked",
    "encode_base64",
    "encode_eight",
    "raw_room",
]

ALWAYS = b"}\n\r^"
"""What the masked form always escapes; the escape character comes first, so that no escape is escaped again."""

SEGMENT = 256
"""Payload bytes under one mask."""

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
    if isinstance(data, Encoded):
        return data.text
    return data.replace(b"=", b"=3D").replace(b"\n", b"=0A").replace(b"\r", b"=0D").replace(b"^", b"=5E")


def decode_eight(text: bytes) -> bytes | None:
    """The bytes, or None when something stands after a ``=`` that is no escape."""
    if b"=" not in text:
        return text
    if b"\n" in text or b"\r" in text:
        return None  # no sender writes them, and behind a = they would have a meaning of their own in such text
    data = a2b_qp(text)  # leaves what is no escape as it is
    escapes = len(text) - len(text.replace(b"=", b""))
    return data if len(text) - len(data) == 2 * escapes else None


_TURNED = [bytes((byte ^ 0x20,)) for byte in range(256)]  # bit 5 turned over


@cache
def _mask(number: int) -> bytes:
    """The translation of a mask; made when it is first used."""
    return bytes(byte ^ number << 2 for byte in range(256))


class MaskedForm:
    """The masked form for one set of bytes to escape.

    :param harmed: what the line harms, beyond those that are always escaped.
    """

    def __init__(self, harmed: bytes = b"") -> None:
        self.bytes = ALWAYS + bytes(byte for byte in sorted(set(harmed)) if byte not in ALWAYS)
        """What is escaped, the escape character first."""
        self._pairs = [(_TURNED[byte ^ 0x20], b"}" + _TURNED[byte]) for byte in self.bytes]
        # A mask is a multiple of four, so that it takes a byte to any with the same two low bits: the 64 masks put
        # each of those there once, and on average leave this many of 64 bytes to escape. The best is no worse.
        self._worst = max(sum(byte & 3 == low for byte in self.bytes) for low in range(4))

    def room(self, text: int) -> int:
        """Payload bytes whose masked form surely fits into ``text`` characters."""
        segments = -(-text // SEGMENT)
        return max((text - segments) * 64 // (64 + self._worst), 0)

    def encode(self, data: bytes, other: int = 0) -> bytes:
        """The masked form.

        :param other: 0 takes the best mask of each segment, 1 the second best ...: a line that harms a certain row
            of bytes is shown another row.
        """
        out: list[bytes] = []
        for at in range(0, len(data), SEGMENT):
            segment = data[at : at + SEGMENT]
            number = self._mask(segment, other)
            out += (ALPHABET[number : number + 1], segment.translate(_mask(number)) if number else segment)
        text = b"".join(out)
        for byte, escaped in self._pairs:
            if byte in text:
                text = text.replace(byte, escaped)
        return text

    def _mask(self, segment: bytes, other: int) -> int:
        """The number of the mask for a segment: text that needs no escapes is left readable."""
        if not other and len(segment.translate(None, self.bytes)) == len(segment):
            return 0
        counts = [0] * 256
        for byte in segment:
            counts[byte] += 1
        costs = [sum([counts[byte ^ mask] for byte in self.bytes]) for mask in range(0, 256, 4)]
        if not other:
            return costs.index(min(costs))
        return sorted(range(64), key=costs.__getitem__)[other % 64]


def decode_masked(text: bytes) -> bytes | None:
    """The bytes of a masked form, or None when a mask or an escape is malformed."""
    if b"}" in text:
        head, *parts = text.split(b"}")
        out = [head]
        for part in parts:
            if not part:
                return None  # the escape character was escaped as ``}]``
            out += (_TURNED[part[0]], part[1:])
        text = b"".join(out)
    segments = []
    for at in range(0, len(text), SEGMENT + 1):
        number = ALPHABET.find(text[at : at + 1])
        if number < 0:
            return None
        segment = text[at + 1 : at + 1 + SEGMENT]
        segments.append(segment.translate(_mask(number)) if number else segment)
    return b"".join(segments)


def raw_room(text_room: int, *, eight: bool) -> int:
    """How many payload bytes go into a frame with ``text_room`` characters for them. In the ``eight`` form the text may
    then be up to three times as long, which is why a receiver that takes that form holds as much."""
    return text_room if eight else text_room * 3 // 4
