"""The frame check: CRC-32, keyed by who speaks to whom in which session.

The parameters are those that crcmod calls ``crc-32`` (check value CBF43926 for ``123456789``); zlib computes the same
function about ten times faster, and a test holds the two together. The *seed* is the CRC of what both ends know and
nobody sends: the speaker's nonce and then the listener's. A frame of another session, our own echo and a third
talker's frames therefore fail the check at no cost in bytes: a CRC with another start value never agrees on the same
text. Before a session stands the seed is 0.
"""

from __future__ import annotations

from binascii import b2a_base64
from zlib import crc32

__all__ = ["CRC32", "check_text", "session_seed"]

CRC32 = {"poly": 0x104C11DB7, "initCrc": 0, "rev": True, "xorOut": 0xFFFFFFFF}
"""The check as crcmod.mkCrcFun takes it; ``initCrc`` is in crcmod's sense, the value after the final xor."""

_URL = bytes.maketrans(b"+/", b"-_")


def session_seed(speaker_nonce: str, listener_nonce: str) -> int:
    """Seed of the frames that the first sends to the second."""
    return crc32((speaker_nonce + listener_nonce).encode("ascii"))


def check_text(covered: bytes | bytearray | memoryview, seed: int) -> bytes:
    """The six base64url digits of the check; the last digit's four low bits are 0."""
    return b2a_base64(crc32(covered, seed).to_bytes(4, "big"), newline=False).translate(_URL)[:6]
