"""The three forms in which the bytes of a payload are written on the line (section 2.3 of docs/protocol.md).

``base64`` (base64url without padding) passes every line that carries printable ASCII.

``eight`` sends bytes unchanged and escapes only four of them: the newline, which ends a frame; the carriage return, which a
terminal may change; the start character, which begins a frame; and the escape character itself. An escaped byte is ``=`` and
two hexadecimal digits, as in quoted-printable text (RFC 2045, 6.7). A C library reads this form. Shorter escapes would need a
loop in Python, which takes three times as long. On a clean pipe, bytes cost less than processor time.

``masked`` is for lines on which every byte costs time and some bytes are damaged. The damaged bytes are escaped too. Before
the escaping, each segment of 256 bytes is masked with one of 64 masks: the mask that leaves the fewest bytes to escape. If
four bytes need an escape, one of 250 random bytes is escaped, instead of one of 64 without masks. (The idea is that of
consistent overhead byte stuffing, Cheshire and Baker 1999.)
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
"""The bytes that the masked form always escapes. The escape character is first, so that no escape is escaped again."""

SEGMENT = 256
"""The number of payload bytes with the same mask."""

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")
_PAD = (b"", None, b"==", b"=")


def encode_base64(data: bytes) -> bytes:
    """Write bytes in the base64 form."""
    return b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=")


def decode_base64(text: bytes) -> bytes | None:
    """Read the bytes of a base64 form; None if it is malformed."""
    pad = _PAD[len(text) & 3]
    if pad is None or text.translate(None, ALPHABET):
        return None
    try:
        return a2b_base64(text.translate(_FROM_URL) + pad, strict_mode=True)
    except Error:
        return None


def encode_eight(data: bytes) -> bytes:
    """Write bytes in the eight form."""
    if isinstance(data, Encoded):
        return data.text
    return data.replace(b"=", b"=3D").replace(b"\n", b"=0A").replace(b"\r", b"=0D").replace(b"^", b"=5E")


def decode_eight(text: bytes) -> bytes | None:
    """Read the bytes of an eight form; None if an escape is malformed."""
    if b"=" not in text:
        return text
    if b"\n" in text or b"\r" in text:
        return None  # no sender writes these bytes; after "=" they would have a meaning in quoted-printable text
    data = a2b_qp(text)  # does not change malformed escapes
    escapes = len(text) - len(text.replace(b"=", b""))
    return data if len(text) - len(data) == 2 * escapes else None


_TURNED = [bytes((byte ^ 0x20,)) for byte in range(256)]  # each byte with bit 5 inverted


@cache
def _mask(number: int) -> bytes:
    """The translation table of a mask, made on first use."""
    return bytes(byte ^ number << 2 for byte in range(256))


class MaskedForm:
    """Writes the masked form with one set of bytes to escape.

    :param harmed: the bytes that the line damages, in addition to the bytes that are always escaped.
    """

    def __init__(self, harmed: bytes = b"") -> None:
        self.bytes = ALWAYS + bytes(byte for byte in sorted(set(harmed)) if byte not in ALWAYS)
        """The bytes that are escaped, the escape character first."""
        self._pairs = [(_TURNED[byte ^ 0x20], b"}" + _TURNED[byte]) for byte in self.bytes]
        # A mask is a multiple of four, so it maps a byte to a byte with the same two low bits. The 64 masks map a byte to
        # each of the 64 bytes with these bits once. On average over the masks, at most this number of 64 bytes therefore
        # need an escape. The best mask is not worse than the average.
        self._worst = max(sum(byte & 3 == low for byte in self.bytes) for low in range(4))

    def room(self, text: int) -> int:
        """The maximum number of payload bytes whose masked form always fits into ``text`` characters."""
        segments = -(-text // SEGMENT)
        return max((text - segments) * 64 // (64 + self._worst), 0)

    def encode(self, data: bytes, other: int = 0) -> bytes:
        """Write bytes in the masked form.

        :param other: 0 for the best mask of each segment, 1 for the second best mask, and so on. If a line damages one
            sequence of bytes, another mask gives another sequence.
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
        """The number of the mask for a segment. Text that needs no escapes gets the mask 0, which leaves it readable."""
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
    """Read the bytes of a masked form; None if a mask or an escape is malformed."""
    if b"}" in text:
        head, *parts = text.split(b"}")
        out = [head]
        for part in parts:
            if not part:
                return None  # an escape character without a byte behind it
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
    """The number of payload bytes for a frame with ``text_room`` characters of text.

    In the ``eight`` form, the text may become up to three times as long. A receiver that accepts this form accepts the longer
    text.
    """
    return text_room if eight else text_room * 3 // 4
