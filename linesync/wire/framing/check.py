"""The frame check: a CRC-32 that is keyed by session and direction (sections 2.1 and 2.2 of docs/protocol.md).

The parameters are those of ``crc-32`` in crcmod (the check value of ``123456789`` is CBF43926). zlib computes the same
function about ten times faster; a test compares the two. The *seed* is the start value of the CRC of a frame. It is itself
the CRC of two values that both ends know: the nonce of the sender and the nonce of the receiver. CRCs with different start
values never agree on the same text. Frames of another session or another station, and the echo of this end, therefore fail
the check, and the frame needs no bytes for this. Before there is a session, the seed is 0.
"""

from __future__ import annotations

from binascii import b2a_base64
from zlib import crc32

__all__ = ["CRC32", "check_text", "session_seed"]

CRC32 = {"poly": 0x104C11DB7, "initCrc": 0, "rev": True, "xorOut": 0xFFFFFFFF}
"""The parameters of the check for crcmod.mkCrcFun. In crcmod, ``initCrc`` is the start value after the final xor."""

_URL = bytes.maketrans(b"+/", b"-_")


def session_seed(speaker_nonce: str, listener_nonce: str) -> int:
    """The seed of the frames that the speaker (their sender) sends to the listener (their receiver)."""
    return crc32((speaker_nonce + listener_nonce).encode("ascii"))


def check_text(covered: bytes | bytearray | memoryview, seed: int) -> bytes:
    """The check as six base64url digits. The four low bits of the last digit are 0."""
    return b2a_base64(crc32(covered, seed).to_bytes(4, "big"), newline=False).translate(_URL)[:6]
