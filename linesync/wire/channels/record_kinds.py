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
OPEN = b"o"  # opens a channel; the body is the opening, or its last piece
OPEN_PIECE = b"p"  # a piece of an opening, but not the last piece
DATA = b"0123"  # bytes of one of the four streams of a channel
MESSAGE = b"m"  # a message, or its last piece
MESSAGE_PIECE = b"f"  # a piece of a message, but not the last piece
END = b"e"  # the sender sends no more on this channel
RESET = b"x"  # closes the channel in both directions; the body is the reason
CREDIT = b"w"  # grants credit

PIECE_OF = {MESSAGE: MESSAGE_PIECE, OPEN: OPEN_PIECE}
"""The kinds of records that may be divided. The value is the kind of all pieces except the last piece."""
UNPAID = OPEN + RESET + END
"""The kinds of records that need no credit."""

# section 6.5
COMPRESSED_DATA = b"4567"  # compressed DATA of streams 0 to 3
COMPRESSED_TEXTS = b"MFOP"  # compressed MESSAGE, MESSAGE_PIECE, OPEN and OPEN_PIECE
RECALLED_TEXT = b"r"  # a message with the shape of an earlier message, on the channel whose number follows
RECALLED_OPEN = b"R"  # an opening with the shape of an earlier opening
RECALLED = b"\x80"  # this byte and larger bytes: a message with the shape of an earlier message, on channel 0

NUMBER_DIGITS = 6
"""The number of digits of a channel's number: enough for months, because no number is used twice in a session."""
