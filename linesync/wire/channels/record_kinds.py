"""The kinds of records, one byte each (sections 6.1 and 6.5 of docs/protocol.md)."""

from __future__ import annotations

__all__ = [
    "COMPRESSED_DATA",
    "COMPRESSED_TEXTS",
    "CREDIT",
    "DATA",
    "END",
    "MESSAGE",
    "MESSAGE_PIECE",
    "NUMBER_DIGITS",
    "OPEN",
    "OPEN_PIECE",
    "PIECE_OF",
    "RECALLED",
    "RECALLED_OPEN",
    "RECALLED_TEXT",
    "RESET",
    "UNPAID",
]

# section 6.1
OPEN = b"o"  # opens a channel; the body says its purpose
OPEN_PIECE = b"p"  # a piece of an opening that is not its last
DATA = b"0123"  # bytes of one of a channel's four streams
MESSAGE = b"m"
MESSAGE_PIECE = b"f"  # a piece of a message that is not its last
END = b"e"  # the sender sends no more on this channel
RESET = b"x"  # the channel is over for both sides; the body is the reason
CREDIT = b"w"  # grants credit

PIECE_OF = {MESSAGE: MESSAGE_PIECE, OPEN: OPEN_PIECE}
"""Records that may be divided: every piece but the last has the second kind."""
UNPAID = OPEN + RESET + END
"""Kinds that are sent without credit."""

# section 6.5
COMPRESSED_DATA = b"4567"  # as DATA
COMPRESSED_TEXTS = b"MFOP"  # as MESSAGE, MESSAGE_PIECE, OPEN, OPEN_PIECE: the same letter in lower case
RECALLED_TEXT = b"r"  # a message like an earlier one, on the channel whose number follows
RECALLED_OPEN = b"R"  # an opening like an earlier one
RECALLED = b"\x80"  # from this byte on: a message like an earlier one, on channel 0

NUMBER_DIGITS = 6
"""The digits of a channel's number. A session may last for months, and no number is used twice."""
