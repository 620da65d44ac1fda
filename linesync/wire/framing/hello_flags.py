"""The flags of a hello, which announce the abilities of an end (section 4.1 of docs/protocol.md).

A receiver ignores an unknown lower-case letter, and refuses a hello with an unknown upper-case letter.
"""

from __future__ import annotations

__all__ = [
    "AUTOBAUD",
    "CLEAN_PIPE",
    "COMPRESSION",
    "EIGHT_FORM",
    "KEEPING",
    "MASKED_FORM",
    "NESTING",
    "SHORT_ACKS",
    "ZSTANDARD",
]

NESTING = "n"  # section 3.3: accepts frames inside frames
EIGHT_FORM = "q"  # section 2.3: accepts payloads in the eight form
CLEAN_PIPE = "p"  # section 1: its line is a pipe or socket that carries every byte unchanged
MASKED_FORM = "m"  # sections 2.3 and 7.1: accepts payloads in the masked form if the line carries them
AUTOBAUD = "r"  # section 7.2: can change the rate of this line
COMPRESSION = "z"  # section 6.5: accepts compressed records
ZSTANDARD = "s"  # section 6.5: accepts data streams in Zstandard
SHORT_ACKS = "a"  # section 5.3: accepts short acknowledgements
KEEPING = "k"  # section 8.6: can continue a session after a restart of the hub
